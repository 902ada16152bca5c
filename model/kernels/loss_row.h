#pragma once

#include "model/kernels/numbers.h"
#include "model/kernels/vector_math.h"

namespace millrace {

/// The loss of a position, a block, and its gradient (t5x losses.py):
///   ce = lse - logits[label];  d = share ((1 + 2 z lse) softmax - one-hot)
/// `share` is what the position counts in the loss. Logits are overwritten.
struct LossRow {
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
      if (out != nullptr) team.each(width, [=](Index j) { out[j] = Low{}; });
      return;
    }
    const Index at = label[row];
    const Real of_label = in[at];
    const Real largest = team.max(width, [=](Index j) { return in[j]; });
    const auto largest_ones = team.sum(width, [=](Index j) { return static_cast<std::int32_t>(in[j] == largest); });
    const Real sum = team.sum(width, [=](Index j) { return in[j] = exp_of(in[j] - largest); });
    const Real log_sum = largest + log_of(sum);
    typename Team::template Each<Real> softmax_of_label;
    team.lanes([&](int lane) {
      if (lane != 0) return;
      softmax_of_label[lane] = in[at];  // Before a gradient in the same place overwrites it.
      static_cast<Real*>(ce)[row] = log_sum - of_label;
      static_cast<Real*>(lse)[row] = log_sum;
      // Written so that it is false for NaN and infinity.
      correct[row] = of_label == largest && largest_ones == 1 && log_sum * Real{0} == Real{0} ? 1 : 0;
    });
    if (out == nullptr) return;
    const auto own = static_cast<Real>(share[row]);
    const auto factor =
        static_cast<Real>(share[row] * (1 + 2 * z * static_cast<double>(log_sum)) / static_cast<double>(sum));
    team.each(width, [=](Index j) { out[j] = stored_as<Low>(in[j] * factor); });
    team.lanes([&](int lane) {
      if (lane == 0) out[at] = stored_as<Low>(softmax_of_label[lane] * factor - own);
    });
  }
};

}  // namespace millrace
