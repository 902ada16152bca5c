#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "model/optimizer/finite.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "trainer/checkpoint/checkpoint_part.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/safetensors.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnigram = "unigram.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kCounts = "counts";

void load_optimizer(const fs::path& folder, const TrainedParts& parts) {
  const TensorFiles files(folder, kOptimizerFiles);
  const std::vector<StateTensor> state = parts.backend.optimizer().state();
  if (files.tensors().size() != state.size())
    throw ConfigError(fmt::format("{}: {} tensors, this optimizer has {}; a run keeps its train.optimizer",
                                  files.path().string(), files.tensors().size(), state.size()));
  for (const StateTensor& tensor : state) {
    const auto& [path, saved] = files.tensor(tensor.name);
    if (saved.shape != tensor.shape)
      throw ConfigError(fmt::format("{}: tensor \"{}\" has shape {}; this optimizer's has {}", path.string(),
                                    tensor.name, saved.shape, tensor.shape));
    if (saved.type != TensorType::f32)
      throw ConfigError(
          fmt::format("{}: tensor \"{}\" is {}; expected F32", path.string(), tensor.name, name_of(saved.type)));
    load_tensor(parts.backend.device(), saved, tensor.data);
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

JsonValue read_state(const fs::path& folder) {
  return JsonValue::read(folder / kState, "go on from another checkpoint");
}

void load_state(const fs::path& folder, TrainState& state, RunIdentity& identity) {
  parse_state_json(read_state(folder), state, identity);
  if (fs::exists(folder / kClockFile))
    parse_clock_json(JsonValue::read(folder / kClockFile, "remove it; the run's times then begin anew"), state);
}

void load_tensors(const fs::path& folder, const TrainedParts& parts) {
  if (const std::string difference = model_difference(load_model_config(folder), parts.config); !difference.empty())
    throw ConfigError(fmt::format("{}: config.json is not the run's model: {}", folder.string(), difference));
  load_parameters(parts.backend.device(), folder, parts.backend.parameters());
  load_optimizer(folder, parts);
  for (const std::string& bad : {not_finite_in(parts.backend.device(), parts.backend.parameters()),
                                 not_finite_in(parts.backend.device(), parts.backend.optimizer().state())})
    if (!bad.empty()) throw NotFiniteCheckpoint(bad);
}

}  // namespace

CheckpointRecord record_of(const TrainedParts& parts, const RunIdentity& identity) {
  return {parts.config, parts.unigram.counts(), parts.state, identity};
}

void write_record(const fs::path& folder, const CheckpointRecord& record, const std::vector<TensorFile>& files,
                  const CheckpointTexts& texts) {
  write_file_atomically(folder / "config.json", model_config_json(record.config));
  for (const TensorFileNames& names : {kModelFiles, kOptimizerFiles}) write_index(folder, names, files);
  save_unigram(folder / kUnigram, record.unigram);
  for (const auto& [name, text] : texts) write_file_atomically(folder / name, text);
  write_file_atomically(folder / kState, json_page(state_json(record.state, record.identity)));
  write_file_atomically(folder / kClockFile, json_page(clock_json(record.state)));
}

void CheckpointCopy::allocate(const TrainedParts& parts) {
  std::int64_t size = 0;
  for (const Parameter& parameter : parts.backend.parameters().all) size += parameter.spec.size();
  for (const StateTensor& tensor : parts.backend.optimizer().state()) size += tensor.size();
  memory_ = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(size));
  const float* at = memory_.get();
  const auto placed = [&at](const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t count) {
    return tensor_of(name, shape, std::exchange(at, at + count));
  };
  for (const Parameter& parameter : parts.backend.parameters().all)
    parameters_.push_back(placed(parameter.spec.name, parameter.spec.shape, parameter.spec.size()));
  for (const StateTensor& tensor : parts.backend.optimizer().state())
    optimizer_.push_back(placed(tensor.name, tensor.shape, tensor.size()));
}

void CheckpointCopy::take(const TrainedParts& parts, const RunIdentity& identity) {
  if (memory_ == nullptr) allocate(parts);
  float* at = memory_.get();
  const auto take = [&](const Tensor& there, std::int64_t count) {
    parts.backend.device().to_host(at, there.data, static_cast<std::size_t>(count) * sizeof(float));
    at += count;
  };
  for (const Parameter& parameter : parts.backend.parameters().all) take(parameter.value, parameter.spec.size());
  for (const StateTensor& tensor : parts.backend.optimizer().state()) take(tensor.data, tensor.size());
  record_ = record_of(parts, identity);
}

fs::path save_checkpoint(const fs::path& parent, const CheckpointCopy& copy, const CheckpointTexts& texts,
                         std::uint64_t most_bytes) {
  const std::vector<TensorFile> files = checkpoint_files(copy.parameters(), copy.optimizer(), most_bytes);
  return publish_checkpoint(parent, copy.record().place(), [&](const fs::path& folder) {
    std::vector<FileSum> sums;
    for (const TensorFile& file : files) sums.push_back(write_summed(folder, file));
    write_record(folder, copy.record(), files, texts);
    return sums;
  });
}

RunIdentity load_checkpoint(const fs::path& folder, const TrainedParts& parts) {
  load_tensors(folder, parts);
  load_unigram(folder / kUnigram, parts.unigram);
  RunIdentity identity;
  load_state(folder, parts.state, identity);
  parts.backend.optimizer().set_updates(parts.state.updates());
  return identity;
}

CheckpointSteps load_weights_and_optimizer(const fs::path& folder, const TrainedParts& parts) {
  load_tensors(folder, parts);
  const CheckpointSteps steps = parse_steps(read_state(folder));
  parts.backend.optimizer().set_updates(steps.updates);
  return steps;
}

std::optional<Restored> restore_newest(const fs::path& parent, const TrainedParts& parts,
                                       std::vector<DamagedCheckpoint>& damaged, const DamageCheck& check) {
  for (std::size_t told = 0;;) {
    const auto newest = newest_valid_checkpoint(parent, damaged, check);
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
  if (!holds_tensor_files(folder, kOptimizerFiles)) return std::nullopt;
  return TensorFiles(folder, kOptimizerFiles).bytes();
}

}  // namespace millrace
