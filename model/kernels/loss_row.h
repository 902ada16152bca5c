#pragma once

#include "model/lanes/streams.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// The loss of a position, a block, and its gradient (t5x losses.py):
///   ce = lse - logits[label];  d = share ((1 + 2 z lse) softmax - one-hot)
/// `share` is what the position counts in the loss. What the logits are behind it is undefined.
struct LossRow {
  /// Whether exponentials are made twice: on a GPU that takes less time than to keep them.
  template <class Team>
  static constexpr bool kTwice = Team::kMovesEight;

  Tensor logits;              ///< (M, V) real
  Tensor gradient;            ///< (M, V) low: d; none: only the loss is wanted. May be the logits.
  const std::int32_t* label;  ///< (M); negative: the row is no position, and its gradient is zero
  const double* share;        ///< (M)
  double z;                   ///< z_loss_factor
  void* ce;                   ///< (M) real
  void* lse;                  ///< (M) real
  std::uint8_t* correct;      ///< (M): whether the label's logit is larger than all others

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Index width = logits.columns;
    Real* in = logits.row<Real>(row);
    Low* out = gradient.data == nullptr ? nullptr : gradient.row<Low>(row);
    if (label[row] < 0) {
      if (out != nullptr) clear_numbers(team, width, out);
      return;
    }
    const Index at = label[row];
    const Real of_label = in[at];
    const Real largest = max_numbers(
        team, width, [](Real x) { return x; }, reading(in));
    // Only of the likeliest label is asked whether it is the only one.
    const auto is_largest = [=](Real x) { return static_cast<std::int32_t>(x == largest); };
    const auto largest_ones = of_label == largest ? sum_numbers(team, width, is_largest, reading(in)) : 0;
    const auto exponential = [=](Real x) { return exp_of(x - largest); };
    Real sum = 0;
    if constexpr (kTwice<Team>)
      sum = sum_numbers(team, width, exponential, reading(in));
    else
      sum = sum_numbers(
          team, width, [=](Real& x) { return x = exponential(x); }, updating(in));
    const Real log_sum = largest + log_of(sum);
    team.lanes([&](int lane) {
      if (lane != 0) return;
      static_cast<Real*>(ce)[row] = log_sum - of_label;
      static_cast<Real*>(lse)[row] = log_sum;
      // Written so that it is false for NaN and infinity.
      correct[row] = of_label == largest && largest_ones == 1 && log_sum * Real{0} == Real{0} ? 1 : 0;
    });
    if (out == nullptr) return;
    const auto own = static_cast<Real>(share[row]);
    const auto factor =
        static_cast<Real>(share[row] * (1 + 2 * z * static_cast<double>(log_sum)) / static_cast<double>(sum));
    const auto turn = [=](Real x, Real& d) { d = (kTwice<Team> ? exponential(x) : x) * factor; };
    for_numbers(team, width, turn, reading(in), writing(out));
    team.lanes([&](int lane) {
      if (lane == 0) out[at] = stored_as<Low>(exponential(of_label) * factor - own);
    });
  }
};

}  // namespace millrace
