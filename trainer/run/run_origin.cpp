#include "trainer/run/run_origin.h"

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/utf8.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/plan/optimizer_memory.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunJson = "run.json";
constexpr const char* kFrom = "from";
constexpr const char* kFromStep = "from_step";

[[noreturn]] void refuse(const fs::path& checkpoint, const std::string& why) {
  throw ConfigError(fmt::format("--from {}: {}", checkpoint.string(), why));
}

[[noreturn]] void refuse_all_but_weights(const fs::path& checkpoint, const std::string& why) {
  refuse(checkpoint, why + ". To take the weights alone, and begin at step 0, add --weights-only");
}

void refuse_another_model(const fs::path& checkpoint, const RunConfig& run) {
  const std::string difference = model_difference(load_model_config(checkpoint), run.model);
  if (!difference.empty()) refuse(checkpoint, "its config.json is not the run's [model]: " + difference);
}

/// The path as stored in run.json: absolute, and valid UTF-8, as JSON requires.
fs::path path_to_keep(const fs::path& checkpoint) {
  fs::path path = fs::canonical(checkpoint);
  if (!is_utf8(path.string()))
    refuse(path, "the path is stored with the run, but is not valid UTF-8; rename the folder");
  return path;
}

/// Bytes of its state, if it is there.
std::optional<std::uint64_t> optimizer_of(const fs::path& checkpoint) {
  try {
    return optimizer_bytes(checkpoint);
  } catch (const ConfigError& error) {
    refuse_all_but_weights(checkpoint, error.what());
  }
}

/// By the size of its state: AdamW has two numbers a parameter, Adafactor has fewer.
void refuse_another_optimizer(const fs::path& checkpoint, std::uint64_t bytes, const RunConfig& run) {
  const std::uint64_t expected = optimizer_memory(run.train, run.model).state;
  if (bytes == expected) return;
  refuse_all_but_weights(
      checkpoint, fmt::format("its optimizer's state has {} bytes, that of the run's train.optimizer = \"{}\" has {}: "
                              "it was trained with another optimizer",
                              bytes, run.train.optimizer, expected));
}

}  // namespace

std::string RunOrigin::text() const {
  if (checkpoint.empty()) return "weights of its own";
  if (step) return fmt::format("the weights, optimizer and step {} of {}", *step, checkpoint.string());
  return fmt::format("the weights of {}", checkpoint.string());
}

RunOrigin origin_of(const fs::path& checkpoint, TakeFrom take, const RunConfig& run) {
  refuse_another_model(checkpoint, run);
  RunOrigin origin{path_to_keep(checkpoint), std::nullopt};
  if (take == TakeFrom::weights) return origin;
  if (fs::exists(checkpoint / "manifest.json")) {
    if (const std::string damage = damage_of(checkpoint); !damage.empty()) refuse_all_but_weights(checkpoint, damage);
  }
  const std::optional<CheckpointSteps> steps = load_steps(checkpoint);
  const std::optional<std::uint64_t> optimizer = optimizer_of(checkpoint);
  if (!steps && !optimizer) return origin;
  if (!optimizer) refuse_all_but_weights(checkpoint, "it has state.json, but no optimizer.safetensors");
  if (!steps) refuse_all_but_weights(checkpoint, "it has optimizer.safetensors, but no state.json");
  refuse_another_optimizer(checkpoint, *optimizer, run);
  origin.step = steps->step;
  return origin;
}

RunOrigin origin_in(const fs::path& run_folder) {
  if (!fs::exists(run_folder / kRunJson)) return {};
  return read_origin(JsonValue::read(run_folder / kRunJson));
}

void add_origin(Json& run_json, const RunOrigin& origin) {
  if (origin.checkpoint.empty()) return;
  run_json[kFrom] = origin.checkpoint.string();
  if (origin.step) run_json[kFromStep] = *origin.step;
}

RunOrigin read_origin(const JsonValue& run_json) {
  RunOrigin origin{run_json.get<std::string>(kFrom, ""), std::nullopt};
  if (run_json.has(kFromStep)) origin.step = run_json.get<std::uint64_t>(kFromStep);
  return origin;
}

void to_json(Json& json, const RunOrigin& origin) {
  json = nullptr;
  if (!origin.checkpoint.empty()) json = {{"checkpoint", origin.checkpoint.string()}, {"step", origin.step}};
}

}  // namespace millrace
