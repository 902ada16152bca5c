#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/backend/training_backend.h"
#include "trainer/distributed/communicator.h"
#include "trainer/ranked/rank_save.h"
#include "trainer/ranked/replica.h"

namespace millrace {

/// Rank 0's side of a model that several ranks train: it has the data, computes its own part of the micro-batches,
/// hands rows out as orders, and gets results back. The same bits as LocalBackend with the same lanes. The others run
/// follow_orders() meanwhile.
class RankedBackend : public TrainingBackend {
 public:
  /// Tells the others to make their part of the model. Weights are 0. Throws ConfigError as make_optimizer.
  RankedBackend(Communicator& ranks, const RankLayout& layout, std::unique_ptr<Device> device, const ModelConfig& model,
                const TrainConfig& train);

  void forward_backward(const MicroBatches& batches) override;
  double gradient_norm() override;
  UpdateNorms update(double learning_rate, double gradient_factor) override;
  void score(const ScoredBatches& batches) override;
  void follow(const ModelConfig& model, const TrainConfig& train) override;
  void measure(Profile* profile) override { replica_.local().measure(profile); }

  Device& device() override { return replica_.local().device(); }
  const Parameters& parameters() const override { return replica_.parameters(); }
  Optimizer& optimizer() override { return replica_.optimizer(); }
  void initialize(const UniformNumbers& uniform) override { replica_.initialize(uniform); }
  void values_changed() override;

  /// All ranks begin to write a checkpoint's tensors (RankSave); this one calls `first` with all their files before.
  /// REQUIRES: the reports of the save before were not busy.
  void begin_save(const SharedSave& save, const std::function<void(const std::vector<TensorFile>&)>& first);
  std::vector<PartReport> reports_of_save();  ///< Of all ranks, by number.
  void wait_for_own_save();                   ///< Of this rank alone.
  /// As damage_of(): each rank reads its share of the files.
  std::string damage_of_checkpoint(const std::filesystem::path& folder);

  std::vector<double> compute_seconds() const override { return compute_seconds_; }
  std::map<std::string, double> exchange_seconds() const override;

 private:
  /// What each rank gave, rank 0 in front; `stop`: one of them, or this one, was asked to stop.
  std::vector<StepResults> gather_results(StepResults mine);
  void score_round(std::span<const TokenBatch> round, const ScoredBatches& batches, std::size_t first);

  Communicator& ranks_;
  ModelConfig model_;
  Replica replica_;
  std::optional<RankSave> save_;  ///< From the first save on.
  std::vector<double> compute_seconds_;
};

}  // namespace millrace
