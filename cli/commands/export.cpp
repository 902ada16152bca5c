#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/export/hugging_face_model.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/json_text.h"
#include "stages/io/output_file.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/vocabulary_check.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct ExportOptions {
  std::string checkpoint;
  std::string folder;
  std::string format;
  std::string vocabulary;
  std::string type = "f32";
  bool json = false;
};

void export_checkpoint(const ExportOptions& options) {
  const ModelConfig config = load_model_config(options.checkpoint);
  require_empty_folder(options.folder, "");
  HuggingFaceExport what{.checkpoint = options.checkpoint,
                         .vocabulary = options.vocabulary,
                         .folder = options.folder,
                         .type = options.type == "bf16" ? TensorType::bf16 : TensorType::f32};
  if (what.vocabulary.empty()) what.vocabulary = vocabulary_beside(options.checkpoint);
  if (what.vocabulary.empty()) {
    say("no vocab.model beside the checkpoint or in its run folder: no tokenizer is written; name one by --vocab");
  } else {
    check_vocabulary_of_checkpoint(config, options.checkpoint, open_vocabulary(what.vocabulary), what.vocabulary);
  }
  const auto count = static_cast<std::uint64_t>(parameter_count(config));
  Progress progress("writing", count, "weights");
  export_hugging_face(what, [&](std::uint64_t written) {
    if (interrupt_requested()) throw Interrupted();
    progress.update(written);
  });
  progress.finish();
  if (options.json) {
    print_results(json_line({{"checkpoint", options.checkpoint},
                             {"folder", options.folder},
                             {"parameters", count},
                             {"dtype", options.type},
                             {"tokenizer", !what.vocabulary.empty()}}) +
                  "\n");
  } else {
    print_results(fmt::format(
        "{}: {} weights in {}{}; AutoModelForCausalLM.from_pretrained(\"{}\", "
        "trust_remote_code=True) opens it\n",
        options.folder, count, options.type, what.vocabulary.empty() ? "" : ", and the tokenizer", options.folder));
  }
}

}  // namespace

void add_export(CLI::App& app) {
  auto options = std::make_shared<ExportOptions>();
  const Command command(app, "export", "Write a checkpoint as a folder that Hugging Face transformers opens");
  command.add_option("CHECKPOINT", options->checkpoint, "A folder with config.json and model.safetensors").required();
  command.add_option("FOLDER", options->folder, "Folder to make").required();
  command.add_option("--to", options->format, "hf: Hugging Face transformers").required().one_of({"hf"});
  command.add_option("--vocab", options->vocabulary, "The .model file; default: the one of the checkpoint's run");
  command.add_option("--dtype", options->type, "Type of the weights").one_of({"f32", "bf16"});
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer("Example:\n  millrace export runs/mine/checkpoints/step-001000 --to hf mine-hf");
  command.callback([options] { export_checkpoint(*options); });
}

}  // namespace millrace
