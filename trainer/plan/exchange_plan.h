#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/optimizer/owned_parts.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/plan/cluster.h"

namespace millrace {

/// What ranks send each other in one step, for one purpose.
struct ExchangePlan {
  std::string name;
  double inside = 0;                 ///< Bytes that all ranks together send to ranks of their own machines.
  double between = 0;                ///< To ranks of other machines.
  std::vector<double> sent = {};     ///< Bytes that each rank sends to all others.
  double seconds = 0;                ///< Of the ranks that take longest.
  bool is_of_micro_batches = false;  ///< In each micro-batch, not once a step.

  double bytes() const { return inside + between; }
};

/// Seconds in which every rank of a group sends so many bytes to each other one, in so many messages each; of n ranks,
/// m on one machine, whose link all its `sharing` ranks use at once:
///   (m - 1) (messages latency + bytes / bandwidth)             inside
///   (n - m) (messages latency + sharing bytes / bandwidth)     between
struct AllToAll {
  double inside = 0;
  double between = 0;
  double seconds() const { return inside + between; }
};
AllToAll all_to_all(const Cluster& cluster, const std::vector<int>& group, double bytes, int sharing,
                    double messages = 1);

/// The update's exchanges among ranks that share it (trainer/ranked/number_exchange.h): so many numbers together, of
/// which a rank owns its part.
struct ShareSizes {
  std::size_t ranks = 1;
  double all = 0;      ///< Numbers.
  double own = 0;      ///< Of one rank.
  double longest = 0;  ///< Of the rank that has most.
  double first = 0;    ///< Of all, in the first bucket of each.

  double rounds() const;
  /// Numbers in the buffers that add_up_shares() takes, and give_shares().
  double numbers_to_add() const;
  double numbers_to_give() const;
};
/// `of_ranks`: numbers that each owns.
ShareSizes share_sizes(const std::vector<double>& of_ranks, std::size_t own);

/// What a rank does itself, in seconds, to add up what others send, and to take what they give:
///   add    8 (all - own) / copy bandwidth (packed) + 12 own (ranks - 1) / memory bandwidth (added)
///          + buffers / fresh bandwidth
///   give   8 all / copy bandwidth + buffers / fresh bandwidth
double seconds_to_add(const Cluster& cluster, const ShareSizes& sizes);
double seconds_to_give(const Cluster& cluster, const ShareSizes& sizes);

/// The exchanges of a step that trains `train` in this grid, rows of `length` positions.
///   gradients  every rank sends each owner its sum of the owner's parts (trainer/ranked/ownership.h), in f32, by
///              buckets; a bucket is on its way between machines while the one before is added up, and nothing else is
///              hidden behind anything. What the ranks that share experts all have they add up lane by lane, then
///              among data ranks
///   weights    every owner sends its parts' new values to all who have them, in f32, by buckets, one after the other
///   sums       sums over pieces of rows, in f64: every owner sends its own to all ranks (Optimizer: 1 number a piece
///              for the norm; for the update Adafactor 4, AdamW 1 and 2), and of a factored matrix that is cut to its
///              other owners (Adafactor: one a column, and 1)
///   experts    of slots, if every expert is full (expert_slots.h)
///   stages     the residual stream and its gradient, N x H in f32, for each micro-batch between neighbouring stages
/// Parameters that only some ranks have (a stage's, an expert's) go among those. All but the experts' bytes are exact.
std::vector<ExchangePlan> plan_exchanges(const Cluster& cluster, const ProcessGrid& grid, const ModelConfig& model,
                                         const TrainConfig& train, int length);

}  // namespace millrace
