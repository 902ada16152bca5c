#pragma once

#include <cstddef>
#include <memory>

#include "model/config/model_config.h"
#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "trainer/backend/local_backend.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/step_results.h"

namespace millrace {

/// The whole model on one of several ranks, which computes whole lanes of a step. Gradients of all are added at their
/// owners, which update, and give the new values to all. Rank 0 owns everything. Every rank makes the same calls at the
/// same time; one thread.
class Replica {
 public:
  /// `train` is the run's; its lanes are a multiple of the ranks. Weights are 0. The device reads this process's
  /// memory.
  Replica(Communicator& ranks, std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train);

  Communicator& ranks() const { return ranks_; }
  LocalBackend& local() { return local_; }
  const LocalBackend& local() const { return local_; }

  /// The gradient of this rank's micro-batches of a step, from zero: `count` of them, each `share` of the step. `done`
  /// may be empty. What they gave, and whether a stop came between.
  StepResults compute(const MicroBatches& batches);
  /// Adds the gradients of all ranks at their owners.
  void add_up();
  /// As TrainingBackend, at rank 0; elsewhere they return nothing of use.
  double gradient_norm();
  UpdateNorms update(double learning_rate, double gradient_factor);
  void follow(const ModelConfig& model, const TrainConfig& train);
  /// Rank 0's weights and optimizer state go to all who need them.
  void take_values();
  /// Weights and optimizer state are at rank 0.
  void bring_home();

 private:
  bool is_owner() const { return ranks_.rank() == 0; }
  Shares value_shares() const;
  Shares gradient_shares() const;

  Communicator& ranks_;
  LocalBackend local_;
};

/// The settings of a run with which a rank trains alone: its part of the lanes.
TrainConfig training_of_rank(TrainConfig train, int ranks);

}  // namespace millrace
