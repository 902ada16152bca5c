#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "trainer/run/compute_threads.h"
#include "trainer/weights/drawn_weights.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct InitOptions {
  std::string preset;
  std::string out;
  std::string type = "f32";
  std::uint64_t seed = 0;
  int threads = 0;
  bool json = false;
};

ModelConfig model_of(const std::string& preset) {
  try {
    return model_preset(preset);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(error.what());
  }
}

void require_room(const fs::path& folder, std::uint64_t bytes) {
  const std::uint64_t free = fs::space(folder).available;
  if (bytes > free)
    throw ConfigError(fmt::format("--out {}: the weights take {}, the disk has {} free; choose another disk{}",
                                  folder.string(), human_bytes(static_cast<double>(bytes)),
                                  human_bytes(static_cast<double>(free)),
                                  ", or --dtype bf16, which takes half of f32"));
}

void init(const InitOptions& options) {
  const ModelConfig config = model_of(options.preset);
  const fs::path folder = options.out;
  require_empty_folder(folder, "--out ");
  set_compute_threads(options.threads);
  require_threads(compute_threads());
  fs::create_directories(folder);
  const TensorType type = options.type == "bf16" ? TensorType::bf16 : TensorType::f32;
  const auto count = static_cast<std::uint64_t>(parameter_count(config));
  const std::uint64_t bytes = count * size_of(type);
  require_room(folder, bytes);
  Progress progress("drawing", count, "weights");
  write_drawn_weights(folder, config, type, options.seed, [&](std::uint64_t drawn) {
    if (interrupt_requested()) throw Interrupted();
    progress.update(drawn);
  });
  progress.finish();
  write_file_atomically(folder / "config.json", model_config_json(config, type));
  if (options.json) {
    print_results(json_line({{"preset", options.preset},
                             {"folder", folder.string()},
                             {"parameters", count},
                             {"bytes", bytes},
                             {"dtype", options.type},
                             {"seed", options.seed}}) +
                  "\n");
  } else {
    print_results(fmt::format("{}: {} with {} weights, {} in {}\n", folder.string(), options.preset, count,
                              human_bytes(static_cast<double>(bytes)), options.type));
  }
}

}  // namespace

void add_init(CLI::App& app) {
  auto options = std::make_shared<InitOptions>();
  const Command command(app, "init", "Draw a model's first weights, as a run of the same seed begins with");
  command.add_option("preset", options->preset, "The model's shape").required().one_of(model_preset_names());
  command.add_option("--out", options->out, "Folder to make, for config.json and model.safetensors").required();
  command.add_option("--dtype", options->type, "Type of the weights").one_of({"f32", "bf16"});
  command.add_option("--seed", options->seed, "As [seed] of a run file").whole_number_from(0, kMostWhole);
  command.add_threads_option(options->threads, "Threads", "all cores");
  command.add_flag("--json", options->json, "Print JSON");
  command.footer("Example:\n  millrace init openmoe-nano --out nano --dtype bf16");
  command.callback([options] { init(*options); });
}

}  // namespace millrace
