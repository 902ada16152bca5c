#include "trainer/checkpoint.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "stages/errors.h"
#include "trainer/atomic_file.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/config_json.h"
#include "trainer/safetensors.h"
#include "trainer/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCounts = "counts";

void save_optimizer(const fs::path& path, Optimizer& optimizer) {
  std::vector<TensorView> tensors;
  for (const StateTensor& tensor : optimizer.state()) tensors.push_back(tensor_of(tensor.name, tensor.shape, tensor.data));
  write_safetensors(path, std::move(tensors));
}

void load_optimizer(const fs::path& path, Optimizer& optimizer) {
  const SafetensorsFile file(path);
  const std::vector<StateTensor> state = optimizer.state();
  if (file.tensors().size() != state.size())
    throw ConfigError(fmt::format("{}: {} tensors, this optimizer has {}", path.string(), file.tensors().size(), state.size()));
  for (const StateTensor& tensor : state) {
    const TensorView& saved = file.tensor(tensor.name);
    if (saved.shape != tensor.shape)
      throw ConfigError(fmt::format("{}: tensor \"{}\" has another shape than this optimizer's", path.string(), tensor.name));
    copy_as_f32(saved, tensor.data);
  }
}

void save_unigram(const fs::path& path, const UnigramCounts& unigram) {
  const std::vector<std::int64_t>& counts = unigram.counts();
  TensorView view{kCounts, TensorType::i64, {static_cast<std::int64_t>(counts.size())},
                  reinterpret_cast<const std::byte*>(counts.data())};
  write_safetensors(path, {view});
}

void load_unigram(const fs::path& path, UnigramCounts& unigram) {
  const SafetensorsFile file(path);
  const TensorView& saved = file.tensor(kCounts);
  std::vector<std::int64_t> counts(unigram.counts().size());
  if (saved.type != TensorType::i64 || saved.bytes() != counts.size() * sizeof(std::int64_t))
    throw ConfigError(fmt::format("{}: expected {} I64 counts", path.string(), counts.size()));
  std::memcpy(counts.data(), saved.data, saved.bytes());
  unigram.set_counts(std::move(counts));
}

}  // namespace

fs::path save_checkpoint(const fs::path& parent, const TrainedParts& parts, const RunIdentity& identity) {
  return publish_checkpoint(parent, parts.state.step, [&](const fs::path& folder) {
    write_file_atomically(folder / "config.json", model_config_json(parts.config));
    save_parameters(folder, parts.parameters);
    save_optimizer(folder / "optimizer.safetensors", parts.optimizer);
    save_unigram(folder / "unigram.safetensors", parts.unigram);
    write_file_atomically(folder / "state.json", state_json(parts.state, identity));
  });
}

RunIdentity load_checkpoint(const fs::path& folder, const TrainedParts& parts) {
  if (load_model_config(folder) != parts.config)
    throw ConfigError(fmt::format("{}: config.json is not the run's model", folder.string()));
  load_parameters(folder, parts.parameters);
  load_optimizer(folder / "optimizer.safetensors", parts.optimizer);
  load_unigram(folder / "unigram.safetensors", parts.unigram);
  const fs::path state_file = folder / "state.json";
  std::ifstream file(state_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  RunIdentity identity;
  parse_state_json(text, state_file.string(), parts.state, identity);
  parts.optimizer.set_steps(parts.state.step);
  return identity;
}

}  // namespace millrace
