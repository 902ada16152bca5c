#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/plan/cluster.h"

namespace millrace {

/// What ranks send each other in one step, for one purpose.
struct ExchangePlan {
  std::string name;
  double inside = 0;                 ///< Bytes that all ranks together send to ranks of their own machines.
  double between = 0;                ///< To ranks of other machines.
  double seconds = 0;                ///< Of the ranks that take longest.
  bool is_of_micro_batches = false;  ///< Once for each micro-batch, not once a step.

  double bytes() const { return inside + between; }
};

/// Seconds in which every rank of a group sends so many bytes to each other one, a message each; of n ranks, m on one
/// machine, whose link all its `sharing` ranks use at once:
///   (m - 1) (latency + bytes / bandwidth) inside  +  (n - m) (latency + sharing bytes / bandwidth) between
double all_to_all_seconds(const Cluster& cluster, const std::vector<int>& group, double bytes, int sharing);

/// The exchanges of a step that trains `train` in this grid, rows of `length` positions.
///   gradients  every rank sends each owner its sum of the owner's parts (trainer/ranked/ownership.h), in f32
///   weights    every owner sends each rank its parts' new values, in f32
///   sums       sums over pieces of rows, in f64: every owner sends its own to all (Optimizer: 1 number a piece for the
///              norm; for the update Adafactor 4, AdamW 1 and 2), and of a factored matrix that is cut to its other
///              owners (Adafactor: one a column, and 1)
///   experts    x out and y back, their gradients likewise: pairs x H, 2 x 2 and 2 x 4 bytes in bf16, 4 x 4 in f32
///   stages     the residual stream and its gradient, N x H in f32, for each micro-batch between neighbouring stages
/// Parameters that only some ranks have (a stage's, an expert's) go among those. Gradients, weights and sums are exact.
std::vector<ExchangePlan> plan_exchanges(const Cluster& cluster, const ProcessGrid& grid, const ModelConfig& model,
                                         const TrainConfig& train, int length);

}  // namespace millrace
