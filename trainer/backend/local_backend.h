#pragma once

#include <array>
#include <memory>

#include "model/config/model_config.h"
#include "model/optimizer/owned_parts.h"
#include "trainer/backend/lane_sums.h"
#include "trainer/backend/training_backend.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// What of a model a process has.
struct ModelPart {
  LayerRange layers;
  ExpertRange experts;
};
ModelPart whole_model(const ModelConfig& model);

/// The whole model, or a part of it, on one device of this process.
class LocalBackend : public TrainingBackend {
 public:
  /// Weights are 0. The optimizer updates everything, or what is owned here of `part`. Throws ConfigError as
  /// make_optimizer. Of a part, this makes no passes: the passes of its transformer() are made.
  LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train);
  LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train,
               const ModelPart& part, const OwnedParts& owned);

  void forward_backward(const MicroBatches& batches) override;
  double gradient_norm() override { return optimizer_->gradient_norm(); }
  UpdateNorms update(double learning_rate, double gradient_factor) override {
    return optimizer_->update(learning_rate, gradient_factor);
  }
  void score(const ScoredBatches& batches) override { score_batches(model_, batches); }
  void follow(const ModelConfig& model, const TrainConfig& train) override;
  void measure(Profile* profile) override;

  Device& device() override { return *device_; }
  /// Of the whole model: what is not here has no memory (as_whole()).
  const Parameters& parameters() const override { return parameters_; }
  Optimizer& optimizer() override { return *optimizer_; }
  void initialize(const UniformNumbers& uniform) override { memory_.initialize(uniform); }
  void values_changed() override { memory_.round_values(); }

  Transformer& transformer() { return model_; }
  LaneSums& sums() { return sums_; }

 private:
  std::unique_ptr<Device> device_;
  ParameterMemory memory_;
  Parameters parameters_;
  LaneSums sums_;
  std::unique_ptr<Optimizer> optimizer_;
  Transformer model_;
  std::array<TokenScores, 2> scores_;  ///< Of two micro-batches, of which the later one is in work.
};

}  // namespace millrace
