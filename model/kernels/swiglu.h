#pragma once

#include "model/lanes/streams.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// OpenMoE's three factors (flaxformer dense.py), kColumns of a row a block:  hidden = v silu(g) u.
struct SwigluRows {
  static constexpr Index kColumns = 1024;

  Tensor gated;                        ///< (N, 3F) low: v | g | u
  Tensor hidden;                       ///< (N, F) low
  const std::int32_t* rows = nullptr;  ///< Only so many, where they are counted in memory.

  static Index blocks(const Tensor& hidden) { return hidden.rows * pieces(hidden.columns); }

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Index width = hidden.columns;
    const Index row = block / pieces(width);
    if (rows != nullptr && row >= *rows) return;
    const Index begin = block % pieces(width) * kColumns;
    const Index count = width - begin < kColumns ? width - begin : kColumns;
    const Low* v = gated.row<Low>(row) + begin;
    const Low* g = v + width;
    const Low* u = g + width;
    Low* out = hidden.row<Low>(row) + begin;
    const auto product = [](Real value, Real argument, Real up, Real& to) {
      const Real silu = argument * (Real{1} / (exp_of(-argument) + Real{1}));
      to = value * up * silu;
    };
    for_numbers(team, count, product, reading(v), reading(g), reading(u), writing(out));
  }

 private:
  MILLRACE_HD static Index pieces(Index width) { return (width + kColumns - 1) / kColumns; }
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
    // v, g and u become their gradients.
    const auto turn = [](Real upstream, Real& v_of, Real& g_of, Real& u_of, Real& to) {
      const Real value = v_of;
      const Real argument = g_of;
      const Real up = u_of;
      const Real sigmoid = Real{1} / (exp_of(-argument) + Real{1});
      const Real silu = argument * sigmoid;
      to = value * up * silu;
      v_of = upstream * up * silu;
      u_of = upstream * value * silu;
      g_of = upstream * value * up * sigmoid * (Real{1} + argument * (Real{1} - sigmoid));
    };
    for_numbers(team, width, turn, reading(d), updating(v), updating(g), updating(u), writing(out));
  }
};

}  // namespace millrace
