#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/config/model_config.h"
#include "trainer/backend/training_backend.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/evaluation/unigram_counts.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {
/// What a checkpoint folder holds:
///   config.json, model.safetensors   the model, in OpenMoE's names: opens in the Python ecosystem
///   optimizer.safetensors            the optimizer's state, one F32 tensor per StateTensor
///   (each of the two, if it is large, is several files and an index: see tensor_files.h)
///   unigram.safetensors              "counts" (vocab_size) I64
///   state.json                       TrainState and RunIdentity
///   clock.json                       the run's times and failed saves: what other machines or grids would have
///   otherwise tokenizer.json, ...              texts that go along, see CheckpointTexts manifest.json see
///   checkpoint_folder.h

/// The parts of a run that a checkpoint saves and restores. Views.
struct TrainedParts {
  const ModelConfig& config;
  TrainingBackend& backend;
  UnigramCounts& unigram;
  TrainState& state;
};

/// What a checkpoint holds beside the tensors of model and optimizer.
struct CheckpointRecord {
  ModelConfig config;
  std::vector<std::int64_t> unigram;
  TrainState state;
  RunIdentity identity;

  TrainProgress place() const { return {state.step, state.ledger.positions()}; }
};
CheckpointRecord record_of(const TrainedParts& parts, const RunIdentity& identity);

/// Files of a checkpoint that other programs want and this one does not read: name, text.
using CheckpointTexts = std::vector<std::pair<std::string, std::string>>;

/// Writes all files of a checkpoint but those of tensors and the manifest: the record, the texts, and the indexes of
/// `files`, which are all of checkpoint_files(). Throws std::system_error.
void write_record(const std::filesystem::path& folder, const CheckpointRecord& record,
                  const std::vector<TensorFile>& files, const CheckpointTexts& texts);

/// A snapshot of all parts in the host's memory, saved in the background while training continues. As large as
/// parameters (not gradients) and optimizer state together; the first take() allocates the memory, which is reused.
class CheckpointCopy {
 public:
  /// Copies. REQUIRES: parts of the same run each time.
  void take(const TrainedParts& parts, const RunIdentity& identity);

  const CheckpointRecord& record() const { return record_; }
  const std::vector<TensorView>& parameters() const { return parameters_; }
  const std::vector<TensorView>& optimizer() const { return optimizer_; }

 private:
  void allocate(const TrainedParts& parts);

  CheckpointRecord record_;
  std::unique_ptr<float[]> memory_;
  std::vector<TensorView> parameters_;
  std::vector<TensorView> optimizer_;
};

/// Publishes `parent`/step-NNNNNN, its tensors cut into files of at most so many bytes. Throws std::system_error.
std::filesystem::path save_checkpoint(const std::filesystem::path& parent, const CheckpointCopy& copy,
                                      const CheckpointTexts& texts, std::uint64_t most_bytes = kMostTensorBytes);

/// An undamaged checkpoint that holds numbers that are not finite; what() names their tensors.
struct NotFiniteCheckpoint : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Restores all parts and returns the identity that was saved. REQUIRES: damage_of(folder) is empty.
/// Throws ConfigError if it is another model's or another optimizer's, or NotFiniteCheckpoint; some parts may be
/// overwritten then.
RunIdentity load_checkpoint(const std::filesystem::path& folder, const TrainedParts& parts);

/// Restores weights and optimizer state, and returns the steps that made them: what a run of any stream can go on
/// from. Throws as load_checkpoint; also ConfigError if the folder has no optimizer state.
CheckpointSteps load_weights_and_optimizer(const std::filesystem::path& folder, const TrainedParts& parts);

struct Restored {
  std::filesystem::path folder;
  RunIdentity identity;
};

/// Restores the newest checkpoint that is whole and finite, and returns what was restored; empty: there is none.
/// `damaged` gets the newer ones, which are named in the log; `check` as in newest_valid_checkpoint(). Throws as
/// load_checkpoint.
std::optional<Restored> restore_newest(const std::filesystem::path& parent, const TrainedParts& parts,
                                       std::vector<DamagedCheckpoint>& damaged,
                                       const DamageCheck& check = whole_damage_of);

/// Parts that a checkpoint of another program lacks: empty then. Throw ConfigError if present but damaged.
std::optional<UnigramCounts> load_unigram_counts(const std::filesystem::path& folder, int vocab_size);
std::optional<RunIdentity> load_identity(const std::filesystem::path& folder);
std::optional<TrainState> load_train_state(const std::filesystem::path& folder);
std::optional<CheckpointSteps> load_steps(const std::filesystem::path& folder);
/// Bytes of all tensors.
std::optional<std::uint64_t> optimizer_bytes(const std::filesystem::path& folder);

}  // namespace millrace
