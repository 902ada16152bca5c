#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/tensor.h"

namespace millrace {

/// One tensor of an optimizer's state, under its name in optimizer.safetensors, or consecutive numbers of it. A view.
struct StateTensor {
  std::string name;
  std::vector<std::int64_t> shape;  ///< Of the whole tensor.
  Tensor data;                      ///< In the device's memory, Device::real(), without gaps, row-major in `shape`.
  std::int64_t first = 0;           ///< Number of the tensor with which `data` begins.

  std::int64_t size() const { return data.size(); }
};

/// L2 norms over all parameters together, of one update. Sums in double, in a fixed order.
struct UpdateNorms {
  double values = 0;  ///< Before the update.
  double change = 0;  ///< Of the change, before its rounding to the type of the values.
};

/// Thrown for an update that would make a weight not finite or larger than kLargestWeight.
struct NotFiniteUpdate : std::runtime_error {
  explicit NotFiniteUpdate(const std::string& parameter)
      : std::runtime_error("the update would leave " + parameter + " not finite, or too large to be squared") {}
};

/// The largest weight that an update may leave, 1.8e19: its square is finite in f32. Models with larger weights are
/// useless.
inline const float kLargestWeight = std::sqrt(std::numeric_limits<float>::max());

/// Turns the gradients of the parameters that it was made for into new values, on their device. Sums are made in double
/// over pieces of rows (model/kernels/row_pieces.h) and added in order: the same bits for any number of threads.
/// Several may share the parameters of one model, each with parts of its own (OwnedParts): norms are then still those
/// of all parameters, and a NotFiniteUpdate is thrown by all, so every bit is that of one optimizer of everything. All
/// make the same calls, and only their own parts' gradients are read, only their own parts written.
/// REQUIRES of the parameters: values and gradients without gaps. One calling thread. All memory is allocated when one
/// is made.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Square root of the sum of all gradients' squares.
  virtual double gradient_norm() = 0;
  /// Updates every parameter, and its image if it has one, as if its gradient were `gradient_factor` times what it is
  /// (clipping). Throws NotFiniteUpdate, naming the first offending parameter; values and state are then unchanged.
  /// REQUIRES: gradients are as at the last gradient_norm().
  virtual UpdateNorms update(double learning_rate, double gradient_factor) = 0;
  /// The state of the own parts, in a fixed order, all 0 at first; what a checkpoint holds besides updates(). Views
  /// stay valid for the optimizer's life and may be written to. What owners of one matrix both have is the same.
  virtual std::vector<StateTensor> state() const = 0;

  std::uint64_t updates() const { return updates_; }  ///< Done since the run began: steps that were not skipped.
  void set_updates(std::uint64_t updates) { updates_ = updates; }

 protected:
  std::uint64_t updates_ = 0;
};

}  // namespace millrace
