#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/config/model_config.h"
#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "trainer/backend/local_backend.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/part_sums.h"
#include "trainer/ranked/step_results.h"

namespace millrace {

/// The whole model on one of several ranks, which computes whole lanes of a step. Each rank owns some parts of the
/// parameters (ownership.h): gradients of all ranks are added at their owners, which keep the optimizer's state,
/// update, and give the new values to all. Every rank makes the same calls at the same time; one thread.
class Replica {
 public:
  /// `train` is the run's; its lanes are a multiple of the ranks. Weights are 0. The device reads this process's
  /// memory.
  Replica(Communicator& ranks, std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train);

  Communicator& ranks() const { return ranks_; }
  LocalBackend& local() { return local_; }
  const LocalBackend& local() const { return local_; }
  /// At rank 0: holds the state of all parameters, as of the last bring_home() or for the next take_values(), and the
  /// count of updates.
  Optimizer& optimizer() { return *whole_; }

  /// The gradient of this rank's micro-batches of a step, from zero: `count` of them, each `share` of the step. `done`
  /// may be empty. What they gave, and whether a stop came between.
  StepResults compute(const MicroBatches& batches);
  /// Adds the gradients of all ranks at their owners.
  void add_up();
  /// As Optimizer, of all parameters; `updates` were done so far. All ranks throw a NotFiniteUpdate alike.
  double gradient_norm();
  UpdateNorms update(std::uint64_t updates, double learning_rate, double gradient_factor);
  void follow(const ModelConfig& model, const TrainConfig& train);
  /// Rank 0's weights and optimizer state go to all who need them.
  void take_values();
  /// The optimizer's state comes to rank 0, where the weights are.
  void bring_home();

 private:
  bool is_home() const { return ranks_.rank() == 0; }
  /// A tensor of each parameter, by owner.
  Shares shares_of(Tensor Parameter::*tensor) const;
  /// At rank 0, where each owner's state lies in the whole; elsewhere what is the rank's own.
  Shares state_shares();
  std::vector<Piece> own_state();

  Communicator& ranks_;
  TrainConfig train_;
  std::vector<std::vector<ParameterPart>> owners_;
  PartSums sums_;
  LocalBackend local_;
  std::unique_ptr<Optimizer> whole_;  ///< At rank 0. It updates nothing.
};

/// The settings of a run with which a rank trains alone: its part of the lanes.
TrainConfig training_of_rank(TrainConfig train, int ranks);

}  // namespace millrace
