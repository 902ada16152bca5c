#pragma once

#include "model/kernels/numbers.h"
#include "model/kernels/vector_math.h"

namespace millrace {

/// OpenMoE's three factors (flaxformer dense.py), a row a block:  hidden = v silu(g) u.
struct SwigluRows {
  Tensor gated;                        ///< (N, 3F) low: v | g | u
  Tensor hidden;                       ///< (N, F) low
  const std::int32_t* rows = nullptr;  ///< Only so many, where they are counted in memory.

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (rows != nullptr && row >= *rows) return;
    const Index width = hidden.columns;
    const Low* v = gated.row<Low>(row);
    const Low* g = v + width;
    const Low* u = g + width;
    Low* out = hidden.row<Low>(row);
    team.each(width, [=](Index j) {
      const Real argument = value_of(g[j]);
      const Real silu = argument * (Real{1} / (exp_of(-argument) + Real{1}));
      out[j] = stored_as<Low>(value_of(v[j]) * value_of(u[j]) * silu);
    });
  }
};

/// Puts the gradients of v, g and u in their places; makes hidden again.
struct SwigluBackward {
  Tensor gated;     ///< (N, 3F) low: v | g | u, then their gradients
  Tensor d_hidden;  ///< (N, F) low
  Tensor hidden;    ///< (N, F) low
  const std::int32_t* rows = nullptr;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (rows != nullptr && row >= *rows) return;
    const Index width = hidden.columns;
    Low* v = gated.row<Low>(row);
    Low* g = v + width;
    Low* u = g + width;
    const Low* d = d_hidden.row<Low>(row);
    Low* out = hidden.row<Low>(row);
    team.each(width, [=](Index j) {
      const Real value = value_of(v[j]);
      const Real argument = value_of(g[j]);
      const Real up = value_of(u[j]);
      const Real upstream = value_of(d[j]);
      const Real sigmoid = Real{1} / (exp_of(-argument) + Real{1});
      const Real silu = argument * sigmoid;
      out[j] = stored_as<Low>(value * up * silu);
      v[j] = stored_as<Low>(upstream * up * silu);
      u[j] = stored_as<Low>(upstream * value * silu);
      g[j] = stored_as<Low>(upstream * value * up * sigmoid * (Real{1} + argument * (Real{1} - sigmoid)));
    });
  }
};

}  // namespace millrace
