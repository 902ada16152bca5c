#pragma once

#include "trainer/config/run_config.h"

namespace CLI {
class App;
}

namespace millrace {

/// What every command that takes a RUN offers: RUN, --data (or MILLRACE_DATA), --set dotted.key=value.
void add_run_options(CLI::App& command, RunOptions& options);

}  // namespace millrace
