#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/results.h"
#include "cli/report/report_data.h"
#include "cli/report/report_page.h"
#include "stages/io/output_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::string run_dir;
  std::string out;
  bool json = false;
};

void report(const ReportOptions& options) {
  const std::string data = report_json(options.run_dir);
  if (options.json) {
    print_results(data + "\n");
    return;
  }
  const fs::path out = options.out.empty() ? fs::path(options.run_dir) / "report.html" : fs::path(options.out);
  write_output(out, OutputKind::file_or_stream, report_page(data), interrupt_requested);
  print_results(out.string() + "\n");
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<ReportOptions>();
  const Command command(app, "report", "A run's charts, settings and checkpoints as one HTML file");
  command.add_option("rundir", options->run_dir, "Folder of the run; it may still be going on").required();
  command.add_option("--out", options->out, "Where to write; default: RUNDIR/report.html");
  command.add_flag("--json", options->json, "Print the report's data as JSON instead");
  command.footer("Example:\n  millrace report runs/quickstart --out quickstart.html");
  command.callback([options] { report(*options); });
}

}  // namespace millrace
