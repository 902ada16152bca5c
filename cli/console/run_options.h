#pragma once

#include "cli/console/command.h"
#include "trainer/config/run_config.h"

namespace millrace {

/// What every command that takes a RUN offers: RUN, --data (or MILLRACE_DATA), --set dotted.key=value.
void add_run_options(const Command& command, RunSource& options);

}  // namespace millrace
