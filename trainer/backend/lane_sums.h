#pragma once

#include <bit>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "model/device/device.h"
#include "model/parameters/parameter.h"
#include "model/pass/pass.h"

namespace millrace {

/// How a step's micro-batches are grouped for the sum of their gradients. Both are powers of two.
struct LaneShape {
  std::size_t lanes = 1;         ///< Runs of consecutive micro-batches, all of one length.
  std::size_t expert_lanes = 1;  ///< Micro-batch m of a lane belongs to its sub-lane m mod expert_lanes.

  /// What is kept at once beside one gradient of everything.
  ParameterMemory::MoreGradients more() const {
    return {static_cast<int>(std::bit_width(lanes)) - 1, static_cast<int>(expert_lanes) - 1};
  }
};

/// to[i] += from[i]. Both (1, count) real, without gaps.
void add_numbers(Device& device, const Tensor& from, const Tensor& to);

/// Adds the gradients of a step's micro-batches in one order, whoever computes them:
///   tensors of experts   a lane from left to right
///   all other tensors    sub-lanes from left to right; then sub-lanes whose numbers differ in the highest bit, down to
///                        neighbours
///   then                 neighbouring lanes, neighbouring pairs of lanes, and so on
/// With 1 and 1: all from left to right. Lanes whose sum is complete are kept until their neighbours are.
class LaneSums {
 public:
  /// Is told where a lane's sum lies once it is complete, and may add to it what others have: it is summed up with
  /// other lanes afterwards.
  using LaneDone = std::function<void(const GradientPlace&)>;

  /// `memory` has room for shape.more(). Both outlive this.
  LaneSums(Device& device, const ParameterMemory& memory, LaneShape shape);

  /// To be called before and after each of a step's micro-batches, in order: begin() returns where its gradient is to
  /// be added, and clears that if it is a sum's first. After the last end(), the parameters' gradients are the step's.
  /// REQUIRES: `micro_batches` is a multiple of lanes x expert_lanes.
  GradientPlace begin(std::size_t micro_batch, std::size_t micro_batches);
  void end(std::size_t micro_batch, std::size_t micro_batches);
  void tell(LaneDone done) { done_ = std::move(done); }

 private:
  Tensor shared(std::size_t sub_lane) const;
  void clear(const Tensor& gradients);
  void add(const Tensor& from, const Tensor& to) { add_numbers(device_, from, to); }

  Device& device_;
  const ParameterMemory& memory_;
  LaneShape shape_;
  LaneDone done_;
  std::size_t complete_ = 0;  ///< Sums of complete lanes that wait for others: the current lane's place is behind them.
};

}  // namespace millrace
