#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/parameters/parameter.h"

namespace millrace {

/// One tensor of an optimizer's state, under its name in optimizer.safetensors. A view.
struct StateTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  float* data = nullptr;

  std::int64_t size() const;
};

/// L2 norms over all parameters together, of one update. Sums in double, in a fixed order.
struct UpdateNorms {
  double values = 0;  ///< Before the update.
  double change = 0;  ///< Of the change, before its rounding to float.
};

/// Thrown for an update that would make a weight not finite or larger than kLargestWeight.
struct NotFiniteUpdate : std::runtime_error {
  explicit NotFiniteUpdate(const std::string& parameter)
      : std::runtime_error("the update would leave " + parameter + " not finite, or too large to be squared") {}
};

/// The largest weight that an update may leave, 1.8e19: its square is finite in f32. Models with larger weights are
/// useless.
inline const float kLargestWeight = std::sqrt(std::numeric_limits<float>::max());

/// Turns gradients into new values. One calling thread; OpenMP inside, the same bits for any number of threads.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every parameter from its gradient. Throws NotFiniteUpdate, naming the first offending parameter; values
  /// and state are then unchanged. REQUIRES: the parameters it was made for.
  virtual UpdateNorms update(Parameters<float>& parameters, double learning_rate) = 0;
  /// The state, in a fixed order; what a checkpoint holds besides steps(). Views stay valid for the optimizer's life.
  virtual std::vector<StateTensor> state() = 0;

  std::uint64_t steps() const { return steps_; }  ///< Updates done since the run began: steps that were not skipped.
  void set_steps(std::uint64_t steps) { steps_ = steps; }

 protected:
  std::uint64_t steps_ = 0;
};

/// Square root of the sum of all gradients' squares.
double gradient_norm(const Parameters<float>& parameters);

/// Multiplies every gradient by `factor`.
void scale_gradients(const Parameters<float>& parameters, double factor);

}  // namespace millrace
