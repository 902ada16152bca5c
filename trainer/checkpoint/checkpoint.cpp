#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "model/fixed_chunks.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "trainer/optimizer/finite.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/safetensors.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kUnigram = "unigram.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kCounts = "counts";

void save_optimizer(const fs::path& path, const std::vector<StateTensor>& state) {
  std::vector<TensorView> tensors;
  for (const StateTensor& tensor : state) tensors.push_back(tensor_of(tensor.name, tensor.shape, tensor.data));
  write_safetensors(path, std::move(tensors));
}

void load_optimizer(const fs::path& path, Optimizer& optimizer) {
  const SafetensorsFile file(path);
  const std::vector<StateTensor> state = optimizer.state();
  if (file.tensors().size() != state.size())
    throw ConfigError(fmt::format("{}: {} tensors, this optimizer has {}; a run keeps its train.optimizer",
                                  path.string(), file.tensors().size(), state.size()));
  for (const StateTensor& tensor : state) {
    const TensorView& saved = file.tensor(tensor.name);
    if (saved.shape != tensor.shape)
      throw ConfigError(fmt::format("{}: tensor \"{}\" has shape {}; this optimizer's has {}", path.string(),
                                    tensor.name, saved.shape, tensor.shape));
    if (saved.type != TensorType::f32)
      throw ConfigError(
          fmt::format("{}: tensor \"{}\" is {}; expected F32", path.string(), tensor.name, name_of(saved.type)));
    copy_as_f32(saved, tensor.data);
  }
}

void save_unigram(const fs::path& path, const std::vector<std::int64_t>& counts) {
  TensorView view{kCounts,
                  TensorType::i64,
                  {static_cast<std::int64_t>(counts.size())},
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

void copy_all(const float* from, float* to, std::int64_t size) {
  parallel_chunks(size, kChunk,
                  [&](std::int64_t begin, std::int64_t end) { std::copy(from + begin, from + end, to + begin); });
}

JsonValue read_state(const fs::path& folder) {
  return JsonValue::read(folder / kState, "go on from another checkpoint");
}

void load_state(const fs::path& folder, TrainState& state, RunIdentity& identity) {
  parse_state_json(read_state(folder), state, identity);
}

void load_tensors(const fs::path& folder, const TrainedParts& parts) {
  if (const ModelConfig config = load_model_config(folder); config != parts.config)
    throw ConfigError(fmt::format("{}: config.json is not the run's model: {}", folder.string(),
                                  model_difference(config, parts.config)));
  load_parameters(folder, parts.parameters);
  load_optimizer(folder / kOptimizer, parts.optimizer);
  for (const std::string& bad : {not_finite_in(parts.parameters), not_finite_in(parts.optimizer.state())})
    if (!bad.empty()) throw NotFiniteCheckpoint(bad);
}

}  // namespace

void CheckpointCopy::allocate(const TrainedParts& parts) {
  std::int64_t size = 0;
  for (const Parameter<float>& parameter : parts.parameters.all) size += parameter.spec.size();
  for (const StateTensor& tensor : parts.optimizer.state()) size += tensor.size();
  memory_ = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(size));
  float* at = memory_.get();
  for (const Parameter<float>& parameter : parts.parameters.all) {
    parameters_.all.push_back({parameter.spec, at});
    at += parameter.spec.size();
  }
  for (const StateTensor& tensor : parts.optimizer.state()) {
    optimizer_.push_back({tensor.name, tensor.shape, at});
    at += tensor.size();
  }
}

void CheckpointCopy::take(const TrainedParts& parts, const RunIdentity& identity) {
  if (memory_ == nullptr) allocate(parts);
  for (std::size_t i = 0; i < parameters_.all.size(); ++i)
    copy_all(parts.parameters.all.at(i).value, parameters_.all[i].value, parameters_.all[i].spec.size());
  const std::vector<StateTensor> state = parts.optimizer.state();
  for (std::size_t i = 0; i < optimizer_.size(); ++i)
    copy_all(state.at(i).data, optimizer_[i].data, optimizer_[i].size());
  config_ = parts.config;
  unigram_ = parts.unigram.counts();
  state_ = parts.state;
  identity_ = identity;
}

fs::path save_checkpoint(const fs::path& parent, const CheckpointCopy& copy) {
  const TrainProgress place{copy.state().step, copy.state().ledger.positions()};
  return publish_checkpoint(parent, place, [&](const fs::path& folder) {
    write_file_atomically(folder / "config.json", model_config_json(copy.config()));
    save_parameters(folder, copy.parameters());
    save_optimizer(folder / kOptimizer, copy.optimizer());
    save_unigram(folder / kUnigram, copy.unigram());
    write_file_atomically(folder / kState, json_page(state_json(copy.state(), copy.identity())));
  });
}

RunIdentity load_checkpoint(const fs::path& folder, const TrainedParts& parts) {
  load_tensors(folder, parts);
  load_unigram(folder / kUnigram, parts.unigram);
  RunIdentity identity;
  load_state(folder, parts.state, identity);
  parts.optimizer.set_steps(parts.state.updates());
  return identity;
}

CheckpointSteps load_weights_and_optimizer(const fs::path& folder, const TrainedParts& parts) {
  load_tensors(folder, parts);
  const CheckpointSteps steps = parse_steps(read_state(folder));
  parts.optimizer.set_steps(steps.updates);
  return steps;
}

std::optional<Restored> restore_newest(const fs::path& parent, const TrainedParts& parts,
                                       std::vector<DamagedCheckpoint>& damaged) {
  for (std::size_t told = 0;;) {
    const auto newest = newest_valid_checkpoint(parent, damaged);
    for (; told < damaged.size(); ++told)
      spdlog::warn("damaged checkpoint passed over: {}: {}", damaged[told].folder.string(), damaged[told].damage);
    if (!newest) return std::nullopt;
    try {
      return Restored{*newest, load_checkpoint(*newest, parts)};
    } catch (const NotFiniteCheckpoint& error) {
      damaged.push_back({*newest, error.what()});
    }
  }
}

std::optional<UnigramCounts> load_unigram_counts(const fs::path& folder, int vocab_size) {
  if (!fs::exists(folder / kUnigram)) return std::nullopt;
  UnigramCounts counts(vocab_size);
  load_unigram(folder / kUnigram, counts);
  return counts;
}

std::optional<RunIdentity> load_identity(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  TrainState state;
  RunIdentity identity;
  load_state(folder, state, identity);
  return identity;
}

std::optional<TrainState> load_train_state(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  TrainState state;
  RunIdentity identity;
  load_state(folder, state, identity);
  return state;
}

std::optional<CheckpointSteps> load_steps(const fs::path& folder) {
  if (!fs::exists(folder / kState)) return std::nullopt;
  return parse_steps(read_state(folder));
}

std::optional<std::uint64_t> optimizer_bytes(const fs::path& folder) {
  if (!fs::exists(folder / kOptimizer)) return std::nullopt;
  const SafetensorsFile file(folder / kOptimizer);
  std::uint64_t bytes = 0;
  for (const TensorView& tensor : file.tensors()) bytes += tensor.bytes();
  return bytes;
}

}  // namespace millrace
