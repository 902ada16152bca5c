#include "cli/console/run_options.h"

namespace millrace {

void add_run_options(const Command& command, RunSource& options) {
  command.add_option("run", options.run, "Run file, or the folder of a run").required();
  command.add_option("--data", options.data, "Folder where the mixes' relative shard patterns start")
      .environment("MILLRACE_DATA");
  command.add_option("--set", options.sets, "Replace a key of the run file, as in --set train.tokens=1e9")
      .type_name("KEY=VALUE")
      .take_all();
}

}  // namespace millrace
