#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/results.h"
#include "trainer/config/key_reference.h"

namespace millrace {

void add_keys(CLI::App& app) {
  const Command command(app, "keys", "Every key of run, mix and objective files: type, default, range, unit");
  command.footer("Example:\n  millrace keys");
  command.callback([] { print_results(key_reference()); });
}

}  // namespace millrace
