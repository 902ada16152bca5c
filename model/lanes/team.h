#pragma once

#include <cstdint>

#include "model/host_device.h"
#include "model/matrix.h"

namespace millrace {

/// A kernel's body is written once, for a block of work done by a team of lanes: on a GPU a block of threads, on the
/// processor a loop.
///   struct Kernel {            parameters: tensors and numbers, trivially copyable
///     template <class Numbers, class Team>
///     MILLRACE_HD void operator()(const Team& team, Index block) const;
///   };
/// A team has
///   each(count, work)   work(j) for every j in [0, count), shared among the lanes; a barrier stands behind it
///   sum(count, term), max(count, term)   over term(j); every lane has the result, and a barrier stands behind it
///   sums<kGroups, kAtOnce>(count, term, done)
///                       for each group g: done(g, the sum over j of term(g, j)), in one of the lanes; terms are
///                       numbers or Eight of them (eight.h), kGroups a power of two up to 16; a barrier stands behind
///                       it. A GPU's lane makes kAtOnce terms at once.
///   kLanes, lanes(work) work(lane) for every lane, and a barrier: for work in which a lane keeps something
///   Each<T>             a value a lane;  scan(values): each lane's becomes the sum of those before it; returns the sum
/// Rules: within one `each`, `sum`, `max` or `lanes` nothing reads what another index or lane writes. What is read
/// between two calls is not written by the next one: some lanes may be there already. All lanes come to every call. No
/// atomics. Sums have a fixed order for a kind of team, whatever the number of threads.
/// kMovesEight: whether a lane should take eight neighbouring numbers at once where it can (streams.h). On the
/// processor the compiler makes vectors of neighbouring indices.
struct SerialTeam {
  static constexpr int kLanes = 1;
  static constexpr bool kMovesEight = false;
  template <class Value>
  struct Each {
    Value value{};
    Value& operator[](int /*lane*/) { return value; }
    const Value& operator[](int /*lane*/) const { return value; }
  };

  template <class Work>
  void each(Index count, const Work& work) const {
#pragma omp simd
    for (Index j = 0; j < count; ++j) work(j);
  }

  template <class Term>
  auto sum(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    return folded(count, term, Value{0}, [](Value a, Value b) { return a + b; });
  }

  /// REQUIRES: count > 0.
  template <class Term>
  auto max(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    return folded(count, term, term(0), [](Value a, Value b) { return a > b ? a : b; });
  }

  template <int kGroups, int kAtOnce, class Term, class Done>
  void sums(Index count, const Term& term, const Done& done) const {
    for (int group = 0; group < kGroups; ++group) {
      decltype(term(group, Index{0})) sum{};
      for (Index j = 0; j < count; ++j) sum += term(group, j);
      done(group, sum);
    }
  }

  template <class Work>
  void lanes(const Work& work) const {
    work(0);
  }

  template <class Value>
  Value scan(Each<Value>& values) const {
    const Value total = values.value;
    values.value = Value{};
    return total;
  }

 private:
  /// In as many parts as four vectors hold, which are combined in a tree.
  template <class Term, class Value, class Op>
  static Value folded(Index count, const Term& term, Value first, const Op& op) {
    constexpr Index kParts = 256 / sizeof(Value);
    Value parts[kParts];
    for (Value& part : parts) part = first;
    Index j = 0;
    for (; j + kParts <= count; j += kParts) {
#pragma omp simd
      for (Index part = 0; part < kParts; ++part) parts[part] = op(parts[part], term(j + part));
    }
    for (Index part = 0; j + part < count; ++part) parts[part] = op(parts[part], term(j + part));
    return combined<kParts / 2>(parts, op);
  }
  template <Index kWidth, class Value, class Op>
  static Value combined(Value* parts, const Op& op) {
    if constexpr (kWidth == 0) {
      return parts[0];
    } else {
#pragma omp simd
      for (Index part = 0; part < kWidth; ++part) parts[part] = op(parts[part], parts[part + kWidth]);
      return combined<kWidth / 2>(parts, op);
    }
  }
};

}  // namespace millrace
