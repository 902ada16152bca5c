#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "stages/records.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/metrics/event_log.h"
#include "trainer/ranked/rank_groups.h"

namespace millrace {

/// What the steps of a phase are made with.
struct PhaseTraining {
  ModelConfig model;
  TrainConfig train;
};

/// What the training loop needs to know about a run.
struct TrainSetup {
  ModelConfig model;
  TrainConfig train;
  std::vector<PhaseTraining> phases;  ///< By phase, as StreamRow numbers them; empty: `model` and `train` in all.
  std::uint64_t seed = 0;
  int sequence_length = 0;  ///< T
  TokenId pad = 0;
  std::vector<std::string> corpora;                 ///< Names, as StreamRow numbers them.
  std::vector<std::vector<std::string>> shards;     ///< Names, by corpus, likewise.
  std::vector<std::vector<std::string>> denoisers;  ///< Names, by phase, likewise.
  std::vector<HeldOutTokens> held_out;              ///< Empty: no evaluation.
  /// Held-out rows of a phase's own objective, the same at each call; nothing: evaluate with causal prediction only.
  std::function<std::optional<ObjectiveRows>(std::uint32_t phase)> objective_rows = [](std::uint32_t) {
    return std::nullopt;
  };
  std::filesystem::path folder;  ///< Where the logs go.
  std::filesystem::path checkpoints;
  CheckpointTexts checkpoint_texts;  ///< Go along with every checkpoint.
  RunIdentity identity;
  RunSettings settings;            ///< Told to TensorBoard.
  double save_again_after = 30;    ///< Seconds; a save that failed is tried again then, or when the next one is due.
  Communicator* ranks = nullptr;   ///< All that train, of which this is number 0; null: this process alone.
  RankLayout layout;               ///< Theirs.
  std::vector<std::string> hosts;  ///< Of the ranks, by number.
  bool profile = false;  ///< Measure where the time goes: "profile" in metrics.jsonl, and TrainLoop::profile().

  /// Whole steps in `positions`.
  std::uint64_t steps_in(std::uint64_t positions) const;
};

/// With phases, micro_rows and loss_rows filled in. Throws ConfigError unless batches consist of whole groups of rows
/// with a common divisor of the loss, and these of whole micro-batches.
TrainSetup checked(TrainSetup setup);

}  // namespace millrace
