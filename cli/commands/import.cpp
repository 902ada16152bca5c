#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/export/imported_model.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/output_file.h"

namespace millrace {
namespace {

constexpr const char* kAsStored = "as-stored";

struct ImportOptions {
  std::string folder;
  std::string checkpoint;
  std::string type = kAsStored;
  bool json = false;
};

std::optional<TensorType> type_of(const std::string& name) {
  if (name == kAsStored) return std::nullopt;
  return name == "bf16" ? TensorType::bf16 : TensorType::f32;
}

/// One progress line after the other, for each part of the work.
class ImportLine {
 public:
  void operator()(const char* what, const char* unit, std::uint64_t done, std::uint64_t total) {
    if (interrupt_requested()) throw Interrupted();
    if (what_ != what) {
      finish();
      progress_.emplace(what, total, unit);
      what_ = what;
    }
    progress_->update(done);
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  std::string what_;
  std::optional<Progress> progress_;
};

void import_checkpoint(const ImportOptions& options) {
  require_empty_folder(options.checkpoint, "--to ");
  ImportLine line;
  const ImportedModel imported = import_model(
      {.source = options.folder, .checkpoint = options.checkpoint, .type = type_of(options.type)}, std::ref(line));
  line.finish();
  if (options.json) {
    print_results(json_line({{"folder", options.folder},
                             {"checkpoint", options.checkpoint},
                             {"parameters", imported.weights},
                             {"bytes", imported.bytes},
                             {"dtype", options.type}}) +
                  "\n");
  } else {
    print_results(fmt::format("{}: {} weights, {}\n", options.checkpoint, imported.weights,
                              human_bytes(static_cast<double>(imported.bytes))));
  }
}

}  // namespace

void add_import(CLI::App& app) {
  auto options = std::make_shared<ImportOptions>();
  const Command command(app, "import",
                        "Make a checkpoint of a model that transformers saved; runs no code of its files");
  command.add_option("FOLDER", options->folder, "config.json with safetensors or pytorch_model.bin, sharded or not")
      .required();
  command.add_option("--to", options->checkpoint, "Folder to make, for config.json and model.safetensors").required();
  command.add_option("--dtype", options->type, "Type of the weights").one_of({kAsStored, "f32", "bf16"});
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer("Example:\n  millrace import openmoe-8b --to openmoe-8b-f32 --dtype f32");
  command.callback([options] { import_checkpoint(*options); });
}

}  // namespace millrace
