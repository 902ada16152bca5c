#pragma once

#include "model/kernels/numbers.h"

namespace millrace {

/// to = from, real to real; a row a block.
struct CopyRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    const Real* in = from.row<Real>(row);
    Real* out = to.row<Real>(row);
    team.each(from.columns, [=](Index j) { out[j] = in[j]; });
  }
};

/// Likewise, low to low.
struct CopyLowRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Low = typename Numbers::Low;
    const Low* in = from.row<Low>(row);
    Low* out = to.row<Low>(row);
    team.each(from.columns, [=](Index j) { out[j] = in[j]; });
  }
};

/// to = from, rounded: real to low.
struct RoundRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Real* in = from.row<Real>(row);
    Low* out = to.row<Low>(row);
    team.each(from.columns, [=](Index j) { out[j] = stored_as<Low>(in[j]); });
  }
};

/// to[i] = from[index[i]], low; zeros where the index is negative.
struct GatherRows {
  Tensor from;                ///< (N, W)
  const std::int32_t* index;  ///< (M)
  Tensor to;                  ///< (M, W)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index i) const {
    using Low = typename Numbers::Low;
    Low* out = to.row<Low>(i);
    if (index[i] < 0) {
      team.each(to.columns, [=](Index j) { out[j] = Low{}; });
      return;
    }
    const Low* in = from.row<Low>(index[i]);
    team.each(to.columns, [=](Index j) { out[j] = in[j]; });
  }
};

/// to[index[i]] = from[i], real.
struct ScatterRows {
  Tensor from;                ///< (M, W)
  const std::int32_t* index;  ///< (M), distinct; negative: nowhere
  Tensor to;                  ///< (N, W)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index i) const {
    using Real = typename Numbers::Real;
    if (index[i] < 0) return;
    const Real* in = from.row<Real>(i);
    Real* out = to.row<Real>(index[i]);
    team.each(to.columns, [=](Index j) { out[j] = in[j]; });
  }
};

}  // namespace millrace
