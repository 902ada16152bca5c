#pragma once

#include <array>
#include <memory>

#include "model/config/model_config.h"
#include "model/optimizer/owned_parts.h"
#include "trainer/backend/lane_sums.h"
#include "trainer/backend/training_backend.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The whole model on one device of this process.
class LocalBackend : public TrainingBackend {
 public:
  /// Weights are 0. The optimizer updates everything, or what is owned here. Throws ConfigError as make_optimizer.
  LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train);
  LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train,
               const OwnedParts& owned);

  void forward_backward(const MicroBatches& batches) override;
  double gradient_norm() override { return optimizer_->gradient_norm(); }
  UpdateNorms update(double learning_rate, double gradient_factor) override {
    return optimizer_->update(learning_rate, gradient_factor);
  }
  TokenScores score(const TokenBatch& batch) override { return model_.score(batch); }
  void follow(const ModelConfig& model, const TrainConfig& train) override;
  void measure(Profile* profile) override;

  Device& device() override { return *device_; }
  const Parameters& parameters() const override { return memory_.views(); }
  Optimizer& optimizer() override { return *optimizer_; }
  void initialize(const UniformNumbers& uniform) override { memory_.initialize(uniform); }
  void values_changed() override { memory_.round_values(); }

 private:
  std::unique_ptr<Device> device_;
  ParameterMemory memory_;
  LaneSums sums_;
  std::unique_ptr<Optimizer> optimizer_;
  Transformer model_;
  std::array<TokenScores, 2> scores_;  ///< Of two micro-batches, of which the later one is in work.
};

}  // namespace millrace
