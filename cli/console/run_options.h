#pragma once

#include "cli/console/command.h"
#include "trainer/config/run_config.h"

namespace millrace {

/// Declares the options of every command that takes a RUN: RUN, --data (or MILLRACE_DATA), --set dotted.key=value.
void add_run_options(const Command& command, RunSource& options);

}  // namespace millrace
