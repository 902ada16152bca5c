#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace millrace {

/// What one MoE layer's router did with one micro-batch, or several: then counts and `gates` are sums.
struct RouterStatistics {
  double aux_loss = 0;           ///< Load-balance loss, unweighted; balanced value = k (flaxformer routing.py).
  double z_loss = 0;             ///< Unweighted.
  double entropy = 0;            ///< Mean over tokens, nats.
  double dropped = 0;            ///< Share of (token, choice) pairs over capacity.
  std::int64_t kept = 0;         ///< Pairs within capacity.
  double gates = 0;              ///< Sum of their gates.
  std::int64_t places = 0;       ///< Pairs that all experts could have taken, of all groups; 0: no limit.
  std::int64_t routed = 0;       ///< Tokens that were routed.
  std::int64_t left_behind = 0;  ///< Those of them that no expert took.
  std::vector<double> load;      ///< (E) share of (token, choice) pairs per expert, before capacity.
  /// (T) (token, choice) pairs of each position in the row, and those of them over capacity: counts over the rows of
  /// the micro-batch. Padding does not count: its position in the row is not a position in text.
  std::vector<std::int64_t> pairs_at, dropped_at;

  /// As flaxformer's moe_layers.py logs them: fraction_tokens_left_behind, expert_usage, router_confidence. None: of
  /// no token, pair or limit.
  std::optional<double> share_left_behind() const { return ratio(static_cast<double>(left_behind), routed); }
  std::optional<double> expert_usage() const { return ratio(static_cast<double>(kept), places); }
  std::optional<double> confidence() const { return ratio(gates, kept); }

 private:
  static std::optional<double> ratio(double part, std::int64_t all) {
    return all > 0 ? std::optional(part / static_cast<double>(all)) : std::nullopt;
  }
};

}  // namespace millrace
