#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/config/model_config.h"
#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "trainer/backend/local_backend.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/ranked/expert_group.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/part_sums.h"
#include "trainer/ranked/rank_groups.h"
#include "trainer/ranked/rank_shares.h"
#include "trainer/ranked/stage_passes.h"
#include "trainer/ranked/step_results.h"

namespace millrace {

/// What one of several ranks has of a model and does of a step: whole lanes of its data group; of their micro-batches
/// those of its replica; of the layers those of its stage, and of their experts its part. Of parameters that several
/// ranks have, each owns some (rank_groups.h): gradients of all are added at their owners, which keep the optimizer's
/// state, update, and give the new values to all. Every rank makes the same calls at the same time; one thread.
class Replica {
 public:
  /// `train` is the run's; the layout fits it (process_grid()). Weights are 0. The device reads this process's memory.
  Replica(Communicator& ranks, const RankLayout& layout, std::unique_ptr<Device> device, const ModelConfig& model,
          const TrainConfig& train);

  Communicator& ranks() const { return ranks_; }
  const RankLayout& layout() const { return layout_; }
  const ProcessGrid::Place& place() const { return place_; }
  LocalBackend& local() { return local_; }
  /// At rank 0: all values and all state, for the next take_values(), and the count of updates. Where each rank has the
  /// whole model, values are those that it trains.
  const Parameters& parameters() const { return home_ ? home_->views() : local_.parameters(); }
  Optimizer& optimizer() { return *whole_; }
  void initialize(const UniformNumbers& uniform);

  /// The gradient of this rank's micro-batches of a step, from zero. Rows stay until the end; `done` is not called.
  /// What they gave, and whether a stop came between.
  StepResults compute(const MicroBatches& batches);
  /// Adds the gradients of all ranks at their owners.
  void add_up();
  /// Of the replica's batch; at its last stage.
  TokenScores score(const TokenBatch& batch);
  /// As Optimizer, of all parameters; `updates` were done so far. All ranks throw a NotFiniteUpdate alike.
  double gradient_norm();
  UpdateNorms update(std::uint64_t updates, double learning_rate, double gradient_factor);
  void follow(const ModelConfig& model, const TrainConfig& train);
  /// Rank 0's weights and optimizer state go to all who need them.
  void take_values();

  const std::vector<ParameterSpec>& specs() const { return specs_; }  ///< Of the whole model.
  const TrainConfig& train() const { return train_; }
  /// What each rank owns: parameters, and what state its optimizer keeps, which at others has no memory.
  const std::vector<std::vector<ParameterPart>>& owners() const { return owners_; }
  std::vector<std::vector<StateTensor>> state_of_owners();

 private:
  bool is_home() const { return ranks_.rank() == 0; }
  /// World ranks of this rank's groups.
  int rank_of(int data, int expert) const;
  std::vector<std::vector<int>> data_ranks() const;    ///< Those with the same parameters, experts among them.
  std::vector<std::vector<int>> expert_ranks() const;  ///< By member, of all data groups.
  std::vector<std::vector<int>> stage_ranks() const;   ///< All with this stage.
  std::vector<std::vector<int>> all_ranks() const;
  /// This rank's numbers.
  Shares own_shares(const std::vector<std::vector<int>>& members, Tensor Parameter::*tensor, TensorKind kind,
                    const GradientPlace& place = {}) const;
  /// Owners' new values, to all who have them.
  void give_values();
  /// At rank 0, where each owner's values and state lie in the whole; elsewhere what is the rank's own.
  Shares value_shares() const;
  Shares state_shares();
  std::vector<Piece> own_state();
  /// Seconds that this rank waited for others so far.
  double waited() const;

  Communicator& ranks_;
  RankLayout layout_;
  ProcessGrid::Place place_;
  std::vector<ParameterSpec> specs_;
  TrainConfig train_;
  std::vector<std::vector<ParameterPart>> owners_;  ///< Of each rank.
  PartSums sums_;
  std::unique_ptr<Communicator> data_, experts_, stage_, pipeline_;
  LocalBackend local_;
  std::optional<ExpertGroup> expert_group_;
  std::optional<StagePasses> passes_;
  std::unique_ptr<Device> home_device_;
  std::unique_ptr<ParameterMemory> home_;  ///< At rank 0, if the model is spread: the whole.
  std::unique_ptr<Optimizer> whole_;       ///< At rank 0. It updates nothing.
};

/// The settings of a run with which a rank trains alone: its part of the lanes.
TrainConfig training_of_rank(TrainConfig train, const ProcessGrid& grid);

}  // namespace millrace
