#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter_spec.h"
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

/// Peak memory of training in bytes, by purpose. Computed from the sizes of the real allocations, without allocating.
struct MemoryPlan {
  std::uint64_t weights = 0;  ///< Including their bf16 copies.
  std::uint64_t gradients = 0;
  std::uint64_t optimizer = 0;    ///< State and scratch.
  std::uint64_t activations = 0;  ///< Of a micro-batch, and of evaluation.
  std::uint64_t checkpoint = 0;   ///< The copy that is written in the background.
  std::uint64_t pipeline = 0;     ///< Text and rows in flight.
  std::uint64_t exchange = 0;     ///< Of one of several ranks: MPI's, what is on its way to others, what is theirs.
  std::uint64_t program = 0;      ///< The program itself, its libraries, the vocabulary.

  bool on_card = false;  ///< The first four lie on a card.

  std::uint64_t total() const {
    return weights + gradients + optimizer + activations + checkpoint + pipeline + exchange + program;
  }
  std::uint64_t card() const { return on_card ? weights + gradients + optimizer + activations : 0; }
  std::uint64_t host() const { return total() - card(); }
  /// As far as the machine's memory is known.
  bool fits(const MachineMemory& machine) const {
    return host() <= machine.bytes && (machine.card == 0 || card() <= machine.card);
  }
};
MemoryPlan plan_memory(const MemoryQuestion& question);

/// MemoryPlan::activations of a stage, some layers of the model, with so many micro-batches in work at once.
std::uint64_t stage_activations(const MemoryQuestion& question, const LayerRange& layers, int at_once);

/// Settings with which the run fits into the machine, as command-line options: the largest possible micro_rows, and
/// recompute only if needed. Nothing: no setting fits.
std::optional<std::string> settings_that_fit(const MemoryQuestion& question, const MachineMemory& machine);

/// Rows of a micro-batch; 0 stands for the whole step's.
int micro_rows_of(const TrainConfig& train);

/// Possible values of micro_rows, from the largest: divisors of the rows that share a divisor of the loss, that make
/// whole lanes.
std::vector<int> possible_micro_rows(const TrainConfig& train);

/// The smallest total that other values of micro_rows and recompute could reach.
MemoryPlan least_memory(const MemoryQuestion& question);

}  // namespace millrace
