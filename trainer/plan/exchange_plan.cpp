#include "trainer/plan/exchange_plan.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>

#include "trainer/cluster/stage_cut.h"
#include "trainer/plan/expert_slots.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/ownership.h"
#include "trainer/ranked/rank_groups.h"

namespace millrace {
namespace {

constexpr double kF32 = sizeof(float);
constexpr double kF64 = sizeof(double);
constexpr double kCopied = 2 * kF32;  ///< Read and written.
constexpr double kAdded = 3 * kF32;   ///< Two read, one written.

/// Ranks of a group by machine.
class Machines {
 public:
  Machines(const Cluster& cluster, const std::vector<int>& group) : group_(group), size_(cluster.ranks_per_machine) {
    for (const int rank : group) ++count_[rank / size_];
  }
  int rank(std::size_t member) const { return group_[member]; }
  /// Others on the machine of a member, by its place in the group.
  int others_inside(std::size_t member) const { return count_.at(group_[member] / size_) - 1; }
  int others_between(std::size_t member) const {
    return static_cast<int>(group_.size()) - count_.at(group_[member] / size_);
  }
  bool are_together(std::size_t one, std::size_t other) const { return group_[one] / size_ == group_[other] / size_; }
  /// Most members on one machine.
  int most() const {
    return std::ranges::max_element(count_, {}, [](const auto& one) { return one.second; })->second;
  }

 private:
  const std::vector<int>& group_;
  int size_;
  std::map<int, int> count_;
};

/// One member of a group sends so many bytes to each other one.
void send_to_others(const Machines& machines, std::size_t member, double bytes, ExchangePlan& exchange) {
  const double inside = bytes * machines.others_inside(member);
  const double between = bytes * machines.others_between(member);
  exchange.inside += inside;
  exchange.between += between;
  exchange.sent[static_cast<std::size_t>(machines.rank(member))] += inside + between;
}

/// One member sends another one so many bytes.
void send(const Machines& machines, std::size_t from, std::size_t to, double bytes, ExchangePlan& exchange) {
  (machines.are_together(from, to) ? exchange.inside : exchange.between) += bytes;
  exchange.sent[static_cast<std::size_t>(machines.rank(from))] += bytes;
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
        stages_(cut_layers(layer_operations(model, length, 1), grid.pipeline)) {
    for (ExchangePlan& exchange : exchanges_) exchange.sent.resize(static_cast<std::size_t>(grid.ranks()));
    for (int rank = 0; rank < grid.ranks(); ++rank) all_.push_back(rank);
  }

  std::vector<ExchangePlan> plan() {
    if (grid_.ranks() > 1) {
      for (const RankGroup& group : rank_groups(grid_, model_, stages_)) plan_update(group);
      const double of_rank = bytes_of_a_piece() * pieces_ / grid_.ranks();
      takes(exchanges_[kSums], all_, all_to_all(cluster_, all_, of_rank, sharing_, messages_of_sums()).seconds());
    }
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
    std::vector<double> sizes;
    for (const std::vector<ParameterPart>& parts : owners)
      sizes.push_back(static_cast<double>(size_of(parts, group.specs)));
    const bool is_of_shared = grid_.expert > 1 && !group.specs.front().per_expert;
    if (is_of_shared)
      add_up_by_lanes(group.ranks, sizes);
    else
      add_up(group.ranks, sizes, 1);
    for (std::size_t owner = 0; owner < owners.size(); ++owner)
      send_to_others(machines, owner, kF32 * sizes[owner], exchanges_[kWeights]);
    const ShareSizes shares = share_sizes(sizes, 0);
    const double moved = all_to_all(cluster_, group.ranks, kF32 * shares.all / static_cast<double>(shares.ranks),
                                    sharing_, shares.rounds())
                             .seconds();
    if (shares.ranks > 1) takes(exchanges_[kWeights], group.ranks, moved + seconds_to_give(cluster_, shares));
    plan_sums(group, owners);
  }

  /// What all ranks have of each share goes to its owner, so many times.
  void add_up(const std::vector<int>& ranks, const std::vector<double>& sizes, double times) {
    if (ranks.size() == 1) return;
    const Machines machines(cluster_, ranks);
    for (std::size_t owner = 0; owner < sizes.size(); ++owner)
      for (std::size_t member = 0; member < sizes.size(); ++member)
        if (member != owner) send(machines, member, owner, times * kF32 * sizes[owner], exchanges_[kGradients]);
    const ShareSizes shares = share_sizes(sizes, 0);
    const AllToAll moved =
        all_to_all(cluster_, ranks, kF32 * shares.all / static_cast<double>(shares.ranks), sharing_, shares.rounds());
    const double adds = seconds_to_add(cluster_, shares);
    const double first = adds / shares.rounds();
    takes(exchanges_[kGradients], ranks, times * (moved.inside + first + std::max(moved.between, adds - first)));
  }

  /// Of what an expert group's ranks all have: each of a rank's lanes among them, then the sums among data ranks.
  void add_up_by_lanes(const std::vector<int>& ranks, const std::vector<double>& sizes) {
    const auto members = static_cast<std::size_t>(grid_.expert);
    const int lanes = train_.lanes / grid_.data;
    std::vector<double> of_member(members);
    for (std::size_t i = 0; i < sizes.size(); ++i) of_member[i % members] += sizes[i];
    for (std::size_t data = 0; data < sizes.size(); data += members) {
      const auto first = ranks.begin() + static_cast<std::ptrdiff_t>(data);
      add_up({first, first + grid_.expert}, of_member, lanes);
    }
    for (std::size_t member = 0; member < members; ++member) {
      std::vector<int> data_ranks;
      std::vector<double> of_data;
      for (std::size_t i = member; i < sizes.size(); i += members) {
        data_ranks.push_back(ranks[i]);
        of_data.push_back(sizes[i]);
      }
      add_up(data_ranks, of_data, 1);
    }
  }

  /// Sums of pieces are told to all ranks, of whatever parameters; those of a cut matrix to its owners.
  void plan_sums(const RankGroup& group, const std::vector<std::vector<ParameterPart>>& owners) {
    ExchangePlan& sums = exchanges_[kSums];
    const PieceNumbers numbers(group.specs);
    const Machines all_ranks(cluster_, all_);
    std::map<std::pair<std::size_t, Index>, std::vector<std::pair<std::size_t, Index>>> cut;  // matrix: owner, pieces
    for (std::size_t owner = 0; owner < owners.size(); ++owner) {
      for (const ParameterPart& part : owners[owner]) {
        const PieceRange range = numbers.of(part);
        if (numbers.is_cut(part)) cut[{part.parameter, part.first_matrix}].emplace_back(owner, range.count);
        const auto rank = static_cast<std::size_t>(group.ranks[owner]);
        send_to_others(all_ranks, rank, bytes_of_a_piece() * static_cast<double>(range.count), sums);
      }
    }
    pieces_ += static_cast<double>(numbers.count());
    if (train_.optimizer != "adafactor") return;
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
      takes(sums, ranks, all_to_all(cluster_, ranks, all / static_cast<double>(ranks.size()), sharing_, 2).seconds());
    }
  }

  /// One of the norm; of the update Adafactor has four at once, AdamW one and then two.
  double bytes_of_a_piece() const { return kF64 * (train_.optimizer == "adafactor" ? 1 + 4 : 1 + 1 + 2); }
  double messages_of_sums() const { return train_.optimizer == "adafactor" ? 2 : 3; }

  int micro_batches() const { return train_.batch_rows / train_.micro_rows / grid_.replicas(); }

  void plan_experts() {
    const double others = grid_.expert - 1;
    const double to_each =
        slots_of_full_expert(model_, train_, Index{train_.micro_rows} * length_) * model_.num_experts / grid_.expert;
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      for (int layer = stages_[stage].first; layer < stages_[stage].end; ++layer) {
        if (!model_.is_moe_layer(layer)) continue;
        const int passes = forward_passes(model_, train_, layer);
        const ExpertSlots slots{.sent = to_each * others, .taken = to_each * others};
        const double bytes = expert_bytes(model_, train_, grid_.expert, slots, passes) / others;
        // Counts, slots and results forward, with dropout the pairs, and two trips backward.
        const double messages = (model_.dropout_rate > 0 ? 4 : 3) * passes + 2;
        for (int data = 0; data < grid_.data; ++data)
          plan_experts_of(expert_group(data, static_cast<int>(stage)), bytes, messages);
      }
    }
  }

  std::vector<int> expert_group(int data, int stage) const {
    std::vector<int> ranks;
    for (int expert = 0; expert < grid_.expert; ++expert)
      ranks.push_back(grid_.rank({.data = data, .expert = expert, .tensor = 0, .pipeline = stage}));
    return ranks;
  }

  /// What a group's ranks send each other for a layer, each so many bytes to each in a micro-batch.
  void plan_experts_of(const std::vector<int>& ranks, double bytes, double messages) {
    ExchangePlan& experts = exchanges_[kExperts];
    const Machines machines(cluster_, ranks);
    for (std::size_t i = 0; i < ranks.size(); ++i) send_to_others(machines, i, micro_batches() * bytes, experts);
    takes(experts, ranks, micro_batches() * all_to_all(cluster_, ranks, bytes, sharing_, messages).seconds());
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
          takes(stages, pair, micro_batches() * all_to_all(cluster_, pair, bytes, sharing_).seconds());
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
  std::vector<int> all_;  ///< Ranks.
  double pieces_ = 0;     ///< Of rows, of all parameters.
  std::vector<ExchangePlan> exchanges_{{.name = "gradients"},
                                       {.name = "weights"},
                                       {.name = "sums"},
                                       {.name = "experts", .is_of_micro_batches = true},
                                       {.name = "stages", .is_of_micro_batches = true}};
  std::map<std::pair<std::string, int>, double> of_rank_;  ///< Seconds.
};

}  // namespace

AllToAll all_to_all(const Cluster& cluster, const std::vector<int>& group, double bytes, int sharing, double messages) {
  const Machines machines(cluster, group);
  const int here = machines.most();
  const auto others = static_cast<double>(group.size()) - here;
  const auto seconds = [&](const Link& link, double of_link) {
    return messages * link.latency + of_link / link.bandwidth;
  };
  AllToAll all;
  if (here > 1) all.inside = (here - 1) * seconds(cluster.inside, bytes);
  if (others > 0) all.between = others * seconds(cluster.between, sharing * bytes);
  return all;
}

double ShareSizes::rounds() const {
  return std::max(1.0, std::ceil(longest / static_cast<double>(numbers_of_a_bucket(ranks))));
}

/// Of two rounds, if there are: what goes to each other owner, and what comes from each for this one.
double ShareSizes::numbers_to_add() const {
  const double of_own = std::min(own, static_cast<double>(numbers_of_a_bucket(ranks)));
  return (first + static_cast<double>(ranks - 2) * of_own) * (rounds() > 1 ? 2 : 1);
}

double ShareSizes::numbers_to_give() const {
  return first;
}

ShareSizes share_sizes(const std::vector<double>& of_ranks, std::size_t own) {
  ShareSizes sizes{.ranks = of_ranks.size(), .own = of_ranks[own]};
  for (const double size : of_ranks) {
    sizes.all += size;
    sizes.longest = std::max(sizes.longest, size);
    sizes.first += std::min(size, static_cast<double>(numbers_of_a_bucket(sizes.ranks)));
  }
  return sizes;
}

namespace {

double or_all(double bandwidth, const Cluster& cluster) {
  return bandwidth > 0 ? bandwidth : cluster.memory_bandwidth;
}

}  // namespace

double seconds_to_add(const Cluster& cluster, const ShareSizes& sizes) {
  return kCopied * (sizes.all - sizes.own) / or_all(cluster.copy_bandwidth, cluster) +
         kAdded * sizes.own * static_cast<double>(sizes.ranks - 1) / cluster.memory_bandwidth +
         kF32 * sizes.numbers_to_add() / or_all(cluster.fresh_bandwidth, cluster);
}

double seconds_to_give(const Cluster& cluster, const ShareSizes& sizes) {
  return kCopied * sizes.all / or_all(cluster.copy_bandwidth, cluster) +
         kF32 * sizes.numbers_to_give() / or_all(cluster.fresh_bandwidth, cluster);
}

std::vector<ExchangePlan> plan_exchanges(const Cluster& cluster, const ProcessGrid& grid, const ModelConfig& model,
                                         const TrainConfig& train, int length) {
  return Planner(cluster, grid, model, train, length).plan();
}

}  // namespace millrace
