#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/config/model_config.h"
#include "trainer/config/train_config.h"
#include "trainer/plan/machine_memory.h"

namespace millrace {

/// What decides how much memory a run takes. Views.
struct MemoryQuestion {
  const ModelConfig& model;  ///< With the vocabulary's size.
  const TrainConfig& train;
  int sequence_length = 0;  ///< T
  int corpora = 1;
  int threads = 1;               ///< Of computing, and of reading.
  std::uint64_t pipeline = 0;    ///< Bytes of the data pipeline: pipeline_bytes().
  std::uint64_t vocabulary = 0;  ///< Bytes of the vocabulary's file.
};

/// Bytes that training takes at its peak, by what they are for. Arithmetic on the real allocations: nothing is made.
struct MemoryPlan {
  std::uint64_t weights = 0;  ///< And their bf16 images.
  std::uint64_t gradients = 0;
  std::uint64_t optimizer = 0;    ///< State and scratch.
  std::uint64_t activations = 0;  ///< Of a micro-batch, and of evaluation.
  std::uint64_t checkpoint = 0;   ///< The copy that is written while training goes on.
  std::uint64_t pipeline = 0;     ///< Text and rows on their way.
  std::uint64_t program = 0;      ///< The program itself, its libraries, the vocabulary.

  std::uint64_t total() const {
    return weights + gradients + optimizer + activations + checkpoint + pipeline + program;
  }
};
MemoryPlan plan_memory(const MemoryQuestion& question);

/// The run's settings that would fit into `bytes`, as options of a command: the largest micro_rows, and recompute only
/// if it must be. Nothing: none does.
std::optional<std::string> settings_that_fit(const MemoryQuestion& question, std::uint64_t bytes);

/// The least that other micro_rows and recompute could bring it down to.
MemoryPlan least_memory(const MemoryQuestion& question);

}  // namespace millrace
