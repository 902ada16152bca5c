#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "model/parameters/parameter.h"
#include "model/profile.h"
#include "model/transformer/transformer.h"
#include "trainer/backend/scored_batches.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The micro-batches of a step, which a backend asks for when it needs them.
struct MicroBatches {
  std::size_t count = 0;
  double share = 1;  ///< Of each micro-batch's gradient in the step's.
  /// The rows of one; each is asked for once, in order. Valid until the next is asked for.
  std::function<TokenBatch(std::size_t)> rows;
  /// What one gave; called once for each, in order, when others may have been asked for.
  std::function<void(std::size_t, const Losses&, const TokenScores&)> done;
};

/// A model with its weights, gradients and optimizer, wherever they are: all that the step loop asks of one. It is
/// given all micro-batches of a step at once, so that it may have several in work, and keeps gradients to itself
/// between forward_backward() and update(), so that they may be handed on as layers finish, and lie in parts. One
/// calling thread. The same calls give the same bits on one kind of device. Long calls throw Stopped (model/stop.h).
class TrainingBackend {
 public:
  virtual ~TrainingBackend() = default;

  /// The gradient of a step, from zero.
  virtual void forward_backward(const MicroBatches& batches) = 0;
  /// Of the last forward_backward().
  virtual double gradient_norm() = 0;
  /// As Optimizer::update. REQUIRES: gradient_norm() was asked for.
  virtual UpdateNorms update(double learning_rate, double gradient_factor) = 0;
  /// Loss per position, eval capacity, no gradients.
  virtual void score(const ScoredBatches& batches) = 0;
  /// From the next step on: the settings that may change while a model is trained. Of `model` the factors of losses and
  /// the dropout rate, of `train` the optimizer's settings. Throws ConfigError as make_optimizer.
  virtual void follow(const ModelConfig& model, const TrainConfig& train) = 0;
  /// From now on adds each pass's seconds to `profile`; null: stops timing.
  virtual void measure(Profile* profile) = 0;

  /// Where a checkpoint is loaded into. Whoever writes to values calls values_changed(). Of one process, this is what
  /// it trains; several ranks train what each has, and save that.
  virtual Device& device() = 0;
  virtual const Parameters& parameters() const = 0;
  virtual Optimizer& optimizer() = 0;
  virtual void initialize(const UniformNumbers& uniform) = 0;
  virtual void values_changed() = 0;
  /// Seconds that each rank computed in the last forward_backward(); empty: this process alone did.
  virtual std::vector<double> compute_seconds() const { return {}; }
  /// Seconds that this process waited for other ranks, since it began, by what was exchanged: "gradients", "weights",
  /// "experts", "pipeline", "rows"; empty: it is alone.
  virtual std::map<std::string, double> exchange_seconds() const { return {}; }
};

}  // namespace millrace
