#pragma once

#include "model/lanes/numbers.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// Softmax over experts in full precision and the k most likely experts of each token, ties to the lower expert
/// (flaxformer routing.py). kTokens tokens a block.
struct RouteTokens {
  static constexpr Index kTokens = 128;

  Tensor logits;         ///< (N, E) real
  Tensor probabilities;  ///< (N, E) real
  void* log_sum;         ///< (N) real
  std::int32_t* expert;  ///< (N, k)
  int choices;           ///< k

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    const Index first = block * kTokens;
    const Index count = logits.rows - first < kTokens ? logits.rows - first : kTokens;
    const RouteTokens self = *this;
    team.lanes([&](int lane) {
      for (Index t = first + lane; t < first + count; t += Team::kLanes) self.template route<typename Numbers::Real>(t);
    });
  }

 private:
  template <class Real>
  MILLRACE_HD void route(Index t) const {
    const Index experts = logits.columns;
    const Real* in = logits.row<Real>(t);
    Real* p = probabilities.row<Real>(t);
    Real largest = in[0];
    for (Index e = 1; e < experts; ++e) largest = in[e] > largest ? in[e] : largest;
    Real sum = 0;
    for (Index e = 0; e < experts; ++e) {
      p[e] = exp_of(in[e] - largest);
      sum += p[e];
    }
    for (Index e = 0; e < experts; ++e) p[e] *= Real{1} / sum;
    static_cast<Real*>(log_sum)[t] = largest + log_of(sum);
    std::int32_t* chosen = expert + t * choices;
    for (int c = 0; c < choices; ++c) {
      std::int32_t best = -1;
      for (std::int32_t e = 0; e < experts; ++e) {
        bool is_taken = false;
        for (int before = 0; before < c; ++before) is_taken = is_taken || chosen[before] == e;
        if (!is_taken && (best < 0 || p[e] > p[best])) best = e;
      }
      chosen[c] = best;
    }
  }
};

/// Places in the experts' queues: in each group all first choices in order of tokens, then all second ones (flaxformer
/// routing.py). A pair of (group, expert) a block, numbered group * E + e.
struct QueuePairs {
  const std::int32_t* expert;  ///< (N, k)
  const std::uint8_t* routed;  ///< (N): 0 for tokens that ask for none
  std::int32_t* place;         ///< (N, k): in the queue of its group and expert; -1: over capacity or not routed
  std::int32_t* asked;         ///< (groups, E): pairs that asked
  Index group;                 ///< Tokens a group
  Index capacity;              ///< Most pairs an expert takes of a group
  Index experts;
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    const Index begin = block / experts * group;
    const auto own = static_cast<std::int32_t>(block % experts);
    const Index share = (group + Team::kLanes - 1) / Team::kLanes;  // Tokens a lane, consecutive ones.
    const auto of_lane = [&](int lane, auto work) {
      const Index end = (lane + 1) * share < group ? (lane + 1) * share : group;
      for (Index t = begin + lane * share; t < begin + end; ++t) work(t);
    };
    std::int32_t waiting = 0;
    for (int c = 0; c < choices; ++c) {
      typename Team::template Each<std::int32_t> before;
      team.lanes([&](int lane) { of_lane(lane, [&](Index t) { before[lane] += is_mine(t, c, own) ? 1 : 0; }); });
      const std::int32_t count = team.scan(before);
      team.lanes([&](int lane) {
        std::int32_t next = waiting + before[lane];
        of_lane(lane, [&](Index t) {
          if (expert[t * choices + c] != own) return;
          const bool has_place = routed[t] != 0 && next < capacity;
          place[t * choices + c] = has_place ? next : -1;
          next += routed[t] != 0 ? 1 : 0;
        });
      });
      waiting += count;
    }
    team.lanes([&](int lane) {
      if (lane == 0) asked[block] = waiting;
    });
  }

 private:
  MILLRACE_HD bool is_mine(Index t, int c, std::int32_t own) const {
    return routed[t] != 0 && expert[t * choices + c] == own;
  }
};

/// Where the slots of each group and expert begin, all groups of an expert behind one another. Close together: an
/// expert's slots are as many as it has pairs, rounded up to `multiple`; else room for the capacity of each. One block.
struct PlaceSlots {
  const std::int32_t* asked;  ///< (groups, E)
  std::int32_t* base;         ///< (groups, E)
  std::int32_t* first;        ///< (E + 1)
  Index groups;
  Index experts;
  Index capacity;
  int multiple;  ///< 0: not close together

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index /*block*/) const {
    const PlaceSlots self = *this;
    const Index share = (experts + Team::kLanes - 1) / Team::kLanes;  // Experts a lane, consecutive ones.
    const auto of_lane = [&](int lane, auto work) {
      const Index end = (lane + 1) * share < experts ? (lane + 1) * share : experts;
      for (Index e = lane * share; e < end; ++e) work(e);
    };
    typename Team::template Each<std::int32_t> next;
    team.lanes([&](int lane) { of_lane(lane, [&](Index e) { next[lane] += self.slots_of(e); }); });
    const std::int32_t all = team.scan(next);
    team.lanes([&](int lane) {
      of_lane(lane, [&](Index e) {
        self.first[e] = next[lane];
        std::int32_t place = next[lane];
        for (Index group = 0; group < self.groups; ++group) {
          self.base[group * self.experts + e] = place;
          place += self.slots_of(group, e);
        }
        next[lane] += self.slots_of(e);
      });
      if (lane == 0) self.first[self.experts] = all;
    });
  }

 private:
  MILLRACE_HD std::int32_t slots_of(Index group, Index e) const {
    const std::int32_t pairs = asked[group * experts + e];
    return multiple == 0 || pairs > capacity ? static_cast<std::int32_t>(capacity) : pairs;
  }
  /// Of all groups, rounded up.
  MILLRACE_HD std::int32_t slots_of(Index e) const {
    std::int32_t slots = 0;
    for (Index group = 0; group < groups; ++group) slots += slots_of(group, e);
    return multiple > 0 ? (slots + multiple - 1) / multiple * multiple : slots;
  }
};

/// pair[s] = -1; kSlots slots a block.
struct EmptySlots {
  static constexpr Index kSlots = 4096;

  std::int32_t* pair;
  Index slots;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    std::int32_t* first = pair + block * kSlots;
    const Index left = slots - block * kSlots;
    team.each(left < kSlots ? left : kSlots, [=](Index i) { first[i] = -1; });
  }
};

/// Every pair's slot and every slot's pair; kTokens tokens a block. REQUIRES: `pair` is -1 everywhere.
struct FillSlots {
  static constexpr Index kTokens = 256;

  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* place;   ///< (N, k)
  const std::int32_t* base;    ///< (groups, E)
  std::int32_t* slot;          ///< (N, k): -1: none
  std::int32_t* pair;          ///< (slots): t * k + c; -1: empty
  Index tokens;                ///< N
  Index group;
  Index experts;
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    const Index begin = block * kTokens * choices;
    const Index all = tokens * choices;
    const Index count = all - begin < kTokens * choices ? all - begin : kTokens * choices;
    const FillSlots self = *this;
    team.lanes([&](int lane) {
      for (Index i = begin + lane; i < begin + count; i += Team::kLanes) {
        self.slot[i] = -1;
        if (self.place[i] < 0) continue;
        self.slot[i] = self.base[i / self.choices / self.group * self.experts + self.expert[i]] + self.place[i];
        self.pair[self.slot[i]] = static_cast<std::int32_t>(i);
      }
    });
  }
};

/// Sums over the routed tokens of a group, a block: P of each expert, log_sum^2, entropy, and the gates of kept pairs.
struct SumRouting {
  Tensor logits;               ///< (N, E) real
  Tensor probabilities;        ///< (N, E) real
  const void* log_sum;         ///< (N) real
  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* place;   ///< (N, k): -1: not kept
  const std::uint8_t* routed;  ///< (N)
  double* sums;                ///< (groups, columns(E))
  Index group;
  int choices;

  static constexpr Index columns(Index experts) { return experts + 3; }

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const Index experts = logits.columns;
    const Index first = block * group;
    const SumRouting self = *this;
    double* to = sums + block * columns(experts);
    const auto sum_to = [&](Index at, auto term) {
      const double sum = team.sum(group, [=](Index i) { return self.routed[first + i] != 0 ? term(first + i) : 0.0; });
      team.lanes([&](int lane) {
        if (lane == 0) to[at] = sum;
      });
    };
    for (Index e = 0; e < experts; ++e)
      sum_to(e, [=](Index t) { return static_cast<double>(self.probabilities.template row<Real>(t)[e]); });
    const auto log_sum_of = [=](Index t) { return static_cast<double>(static_cast<const Real*>(self.log_sum)[t]); };
    sum_to(experts, [=](Index t) { return log_sum_of(t) * log_sum_of(t); });
    sum_to(experts + 1, [=](Index t) {
      Real along = 0;
      for (Index e = 0; e < experts; ++e)
        along += self.probabilities.template row<Real>(t)[e] * self.logits.template row<Real>(t)[e];
      return log_sum_of(t) - static_cast<double>(along);
    });
    sum_to(experts + 2, [=](Index t) {
      double gates = 0;
      for (Index pair = t * self.choices; pair < (t + 1) * self.choices; ++pair)
        if (self.place[pair] >= 0)
          gates += static_cast<double>(self.probabilities.template row<Real>(t)[self.expert[pair]]);
      return gates;
    });
  }
};

/// The gradient of a token's logits, through the gates of its kept pairs and through both router losses. kTokens
/// tokens a block.
///   d P_e = what the load-balance loss adds, + d_gate where e is a kept choice;  d logit = P (d P - sum d P P + 2 z
///   log_sum)
struct RouteBackward {
  static constexpr Index kTokens = 128;

  Tensor probabilities;        ///< (N, E) real
  const void* log_sum;         ///< (N) real
  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* slot;    ///< (N, k)
  const std::uint8_t* routed;  ///< (N)
  Tensor d_gates;              ///< (N, k) real, read for kept pairs only
  const std::int32_t* asked;   ///< (groups, E)
  const double* group_weight;  ///< (groups): what a group's `asked` is multiplied with to give d aux_loss / d P
  double aux;                  ///< d total / d aux_loss
  double z;                    ///< 2 d total / d z_loss / routed tokens
  Tensor d_logits;             ///< (N, E) real
  Index group;
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    const Index first = block * kTokens;
    const Index count = d_logits.rows - first < kTokens ? d_logits.rows - first : kTokens;
    const RouteBackward self = *this;
    team.lanes([&](int lane) {
      for (Index t = first + lane; t < first + count; t += Team::kLanes) self.template turn<typename Numbers::Real>(t);
    });
  }

 private:
  template <class Real>
  MILLRACE_HD void turn(Index t) const {
    const Index experts = d_logits.columns;
    Real* d = d_logits.row<Real>(t);
    if (routed[t] == 0) {
      for (Index e = 0; e < experts; ++e) d[e] = 0;
      return;
    }
    const Real* p = probabilities.row<Real>(t);
    const double weight = aux * group_weight[t / group];
    const std::int32_t* of_group = asked + t / group * experts;
    for (Index e = 0; e < experts; ++e) d[e] = static_cast<Real>(weight * of_group[e]);
    for (int c = 0; c < choices; ++c)
      if (slot[t * choices + c] >= 0) d[expert[t * choices + c]] += d_gates.row<Real>(t)[c];
    Real along = 0;
    for (Index e = 0; e < experts; ++e) along += d[e] * p[e];
    const Real through_z = static_cast<Real>(z) * static_cast<const Real*>(log_sum)[t];
    for (Index e = 0; e < experts; ++e) d[e] = p[e] * (d[e] - along + through_z);
  }
};

}  // namespace millrace
