#include "trainer/plan/exchange_plan.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <utility>

#include "model/pass/capacity.h"
#include "trainer/cluster/stage_cut.h"
#include "trainer/ranked/ownership.h"
#include "trainer/ranked/rank_groups.h"

namespace millrace {
namespace {

constexpr double kF32 = sizeof(float);
constexpr double kF64 = sizeof(double);

/// Ranks of a group by machine.
class Machines {
 public:
  Machines(const Cluster& cluster, const std::vector<int>& group) : group_(group), size_(cluster.ranks_per_machine) {
    for (const int rank : group) ++count_[rank / size_];
  }
  /// Others on the machine of a member, by its place in the group.
  int others_inside(std::size_t member) const { return count_.at(group_[member] / size_) - 1; }
  int others_between(std::size_t member) const {
    return static_cast<int>(group_.size()) - count_.at(group_[member] / size_);
  }
  /// Most members on one machine.
  int most() const {
    return std::ranges::max_element(count_, {}, [](const auto& one) { return one.second; })->second;
  }

 private:
  const std::vector<int>& group_;
  int size_;
  std::map<int, int> count_;
};

/// One member sends so many bytes to each other one.
void send_to_others(const Machines& machines, std::size_t member, double bytes, ExchangePlan& exchange) {
  exchange.inside += bytes * machines.others_inside(member);
  exchange.between += bytes * machines.others_between(member);
}

/// (token, choice) pairs that the experts of a layer take of so many positions, if all are full.
double pairs_of_layer(const ModelConfig& model, Index positions) {
  const Capacity capacity = capacity_of(model, positions, Mode::train);
  const auto chosen = static_cast<double>(positions * std::min(model.router_topk, model.num_experts));
  if (model.capacity_rule == CapacityRule::dropless) return chosen;
  const Index groups = positions / capacity.group;
  return std::min(chosen, static_cast<double>(groups * capacity.places() * model.num_experts));
}

class Planner {
 public:
  Planner(const Cluster& cluster, const ProcessGrid& grid, const ModelConfig& model, const TrainConfig& train,
          int length)
      : cluster_(cluster),
        grid_(grid),
        model_(model),
        train_(train),
        length_(length),
        sharing_(std::min(cluster.ranks_per_machine, grid.ranks())),
        stages_(cut_layers(layer_operations(model, length, 1), grid.pipeline)) {}

  std::vector<ExchangePlan> plan() {
    for (const RankGroup& group : rank_groups(grid_, model_, stages_))
      if (group.ranks.size() > 1) plan_update(group);
    if (grid_.expert > 1) plan_experts();
    if (grid_.pipeline > 1) plan_stages();
    for (ExchangePlan& exchange : exchanges_) exchange.seconds = seconds_of(exchange.name);
    return std::move(exchanges_);
  }

 private:
  enum Name : std::uint8_t { kGradients, kWeights, kSums, kExperts, kStages };

  double seconds_of(const std::string& name) const {
    double most = 0;
    for (const auto& [key, seconds] : of_rank_)
      if (key.first == name) most = std::max(most, seconds);
    return most;
  }
  void takes(const ExchangePlan& exchange, const std::vector<int>& ranks, double seconds) {
    for (const int rank : ranks) of_rank_[{exchange.name, rank}] += seconds;
  }

  void plan_update(const RankGroup& group) {
    const Machines machines(cluster_, group.ranks);
    const auto owners = ownership(group.specs, static_cast<int>(group.ranks.size()));
    double all = 0;
    for (std::size_t owner = 0; owner < owners.size(); ++owner) {
      const auto own = static_cast<double>(size_of(owners[owner], group.specs));
      all += own;
      // What all others send to it is as much as it sends to all others.
      send_to_others(machines, owner, kF32 * own, exchanges_[kGradients]);
      send_to_others(machines, owner, kF32 * own, exchanges_[kWeights]);
    }
    const double seconds =
        all_to_all_seconds(cluster_, group.ranks, kF32 * all / static_cast<double>(owners.size()), sharing_);
    takes(exchanges_[kGradients], group.ranks, seconds);
    takes(exchanges_[kWeights], group.ranks, seconds);
    plan_sums(group, machines, owners);
  }

  void plan_sums(const RankGroup& group, const Machines& machines,
                 const std::vector<std::vector<ParameterPart>>& owners) {
    ExchangePlan& sums = exchanges_[kSums];
    const PieceNumbers numbers(group.specs);
    const bool is_adafactor = train_.optimizer == "adafactor";
    const double of_piece = kF64 * (is_adafactor ? 1 + 4 : 1 + 1 + 2);
    std::map<std::pair<std::size_t, Index>, std::vector<std::pair<std::size_t, Index>>> cut;  // matrix: owner, pieces
    for (std::size_t owner = 0; owner < owners.size(); ++owner) {
      double pieces = 0;
      for (const ParameterPart& part : owners[owner]) {
        const PieceRange range = numbers.of(part);
        pieces += static_cast<double>(range.count);
        if (numbers.is_cut(part)) cut[{part.parameter, part.first_matrix}].emplace_back(owner, range.count);
      }
      send_to_others(machines, owner, of_piece * pieces, sums);
    }
    takes(sums, group.ranks,
          all_to_all_seconds(cluster_, group.ranks,
                             of_piece * static_cast<double>(numbers.count()) / static_cast<double>(owners.size()),
                             sharing_));
    if (!is_adafactor) return;
    for (const auto& [matrix, parts] : cut) {
      const ParameterSpec& spec = group.specs[matrix.first];
      if (!is_factored(spec)) continue;
      std::vector<int> ranks;
      for (const auto& [owner, pieces] : parts) ranks.push_back(group.ranks[owner]);
      const Machines of_matrix(cluster_, ranks);
      const double bytes = kF64 * static_cast<double>(spec.shape.back() + 1);
      double all = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        send_to_others(of_matrix, i, bytes * static_cast<double>(parts[i].second), sums);
        all += bytes * static_cast<double>(parts[i].second);
      }
      takes(sums, ranks, all_to_all_seconds(cluster_, ranks, all / static_cast<double>(ranks.size()), sharing_));
    }
  }

  int micro_batches() const { return train_.batch_rows / train_.micro_rows / grid_.replicas(); }

  void plan_experts() {
    ExchangePlan& experts = exchanges_[kExperts];
    const double of_layer =
        pairs_of_layer(model_, Index{train_.micro_rows} * length_) / grid_.expert * model_.hidden_size;
    // x there and y back, dy there and dx back.
    const double there = train_.precision == "bf16" ? sizeof(std::uint16_t) : kF32;
    const std::array<double, 4> trips{there, kF32, there, kF32};
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      int layers = 0;
      for (int layer = stages_[stage].first; layer < stages_[stage].end; ++layer)
        layers += model_.is_moe_layer(layer) ? 1 : 0;
      for (int data = 0; data < grid_.data; ++data) {
        std::vector<int> ranks;
        for (int expert = 0; expert < grid_.expert; ++expert)
          ranks.push_back(
              grid_.rank({.data = data, .expert = expert, .tensor = 0, .pipeline = static_cast<int>(stage)}));
        const Machines machines(cluster_, ranks);
        for (const double bytes : trips) {
          const double times = static_cast<double>(layers) * micro_batches();
          for (std::size_t i = 0; i < ranks.size(); ++i) send_to_others(machines, i, times * of_layer * bytes, experts);
          takes(experts, ranks, times * all_to_all_seconds(cluster_, ranks, of_layer * bytes, sharing_));
        }
      }
    }
  }

  void plan_stages() {
    ExchangePlan& stages = exchanges_[kStages];
    const double bytes = kF32 * train_.micro_rows * length_ * model_.hidden_size;
    for (int stage = 0; stage + 1 < grid_.pipeline; ++stage) {
      for (int data = 0; data < grid_.data; ++data) {
        for (int expert = 0; expert < grid_.expert; ++expert) {
          const std::vector<int> pair{grid_.rank({.data = data, .expert = expert, .tensor = 0, .pipeline = stage}),
                                      grid_.rank({.data = data, .expert = expert, .tensor = 0, .pipeline = stage + 1})};
          const Machines machines(cluster_, pair);
          // The stream one way, its gradient the other.
          for (std::size_t i = 0; i < pair.size(); ++i) send_to_others(machines, i, micro_batches() * bytes, stages);
          takes(stages, pair, micro_batches() * all_to_all_seconds(cluster_, pair, bytes, sharing_));
        }
      }
    }
  }

  static bool is_factored(const ParameterSpec& spec) {
    constexpr std::int64_t kLeast = 128;  // Adafactor::Settings::min_dim_size_to_factor
    return spec.per_expert || (spec.shape.size() == 2 && std::min(spec.shape.front(), spec.shape.back()) >= kLeast);
  }

  const Cluster& cluster_;
  const ProcessGrid& grid_;
  const ModelConfig& model_;
  const TrainConfig& train_;
  int length_;
  int sharing_;
  std::vector<LayerRange> stages_;
  std::vector<ExchangePlan> exchanges_{{"gradients"},
                                       {"weights"},
                                       {"sums"},
                                       {.name = "experts", .is_of_micro_batches = true},
                                       {.name = "stages", .is_of_micro_batches = true}};
  std::map<std::pair<std::string, int>, double> of_rank_;  ///< Seconds.
};

}  // namespace

double all_to_all_seconds(const Cluster& cluster, const std::vector<int>& group, double bytes, int sharing) {
  const Machines machines(cluster, group);
  const int here = machines.most();
  const auto others = static_cast<double>(group.size()) - here;
  return (here - 1) * (cluster.inside.latency + bytes / cluster.inside.bandwidth) +
         others * (cluster.between.latency + sharing * bytes / cluster.between.bandwidth);
}

std::vector<ExchangePlan> plan_exchanges(const Cluster& cluster, const ProcessGrid& grid, const ModelConfig& model,
                                         const TrainConfig& train, int length) {
  return Planner(cluster, grid, model, train, length).plan();
}

}  // namespace millrace
