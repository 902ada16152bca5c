#pragma once

#include <type_traits>

#include "model/lanes/eight.h"

namespace millrace {

/// Numbers that a kernel goes through from front to back, as many streams side by side as its work has parameters:
///   for_numbers(team, count, [=](Real x, Real gain, Real& to) { to = x * gain; }, reading(h), reading(gains),
///   writing(x));
/// The work sees numbers of the types that are computed with, whatever lies in memory, and no others than those at its
/// own place. Where a team's lanes move eight numbers at once, and every stream begins at 16 bytes, they do; the last
/// few go one by one. Which it is depends on places in memory alone.

/// Numbers in memory, from the first of the kernel's places on.
template <class Number, bool kReads, bool kWrites>
struct NumberStream {
  using Value = decltype(value_of(Number{}));
  std::conditional_t<kWrites, Number*, const Number*> memory;

  /// The number at one place, while there is work on it.
  struct One {
    NumberStream stream;
    Value value{};

    MILLRACE_HD void take(Index j) {
      if constexpr (kReads) value = value_of(stream.memory[j]);
    }
    MILLRACE_HD void give(Index j) const {
      if constexpr (kWrites) stream.memory[j] = stored_as<Number>(value);
    }
  };
  /// Those at eight places, and the one of them that there is work on.
  struct AllEight {
    NumberStream stream;
    Eight<Number> held{};
    Value value{};

    MILLRACE_HD void load(Index j) {
      if constexpr (kReads) held = load_eight(stream.memory + j);
    }
    MILLRACE_HD void take(int i) {
      if constexpr (kReads) value = value_of(held.number[i]);
    }
    MILLRACE_HD void give(int i) {
      if constexpr (kWrites) held.number[i] = stored_as<Number>(value);
    }
    MILLRACE_HD void store(Index j) const {
      if constexpr (kWrites) store_eight(stream.memory + j, held);
    }
  };
};

template <class Number>
MILLRACE_HD NumberStream<Number, true, false> reading(const Number* memory) {
  return {memory};
}
template <class Number>
MILLRACE_HD NumberStream<Number, false, true> writing(Number* memory) {
  return {memory};
}
/// Read, and then written.
template <class Number>
MILLRACE_HD NumberStream<Number, true, true> updating(Number* memory) {
  return {memory};
}

template <class Number, bool kReads, bool kWrites>
MILLRACE_HD auto all_eight(const NumberStream<Number, kReads, kWrites>& stream) {
  return typename NumberStream<Number, kReads, kWrites>::AllEight{stream};
}

template <class Work, class... Ones>
MILLRACE_HD void do_at_one(Index j, const Work& work, Ones... ones) {
  (ones.take(j), ...);
  work(ones.value...);
  (ones.give(j), ...);
}
template <class Work, class... Ones>
MILLRACE_HD auto result_at_one(Index j, const Work& work, Ones... ones) {
  (ones.take(j), ...);
  const auto result = work(ones.value...);
  (ones.give(j), ...);
  return result;
}
template <class Work, class... All>
MILLRACE_HD void do_at_eight(Index j, const Work& work, All... all) {
  (all.load(j), ...);
  MILLRACE_UNROLL(8)
  for (int i = 0; i < Eight<float>::kCount; ++i) {
    (all.take(i), ...);
    work(all.value...);
    (all.give(i), ...);
  }
  (all.store(j), ...);
}
/// The results, one after the other.
template <class Combine, class Work, class... All>
MILLRACE_HD auto result_at_eight(Index j, const Combine& combine, const Work& work, All... all) {
  (all.load(j), ...);
  (all.take(0), ...);
  auto result = work(all.value...);
  (all.give(0), ...);
  MILLRACE_UNROLL(8)
  for (int i = 1; i < Eight<float>::kCount; ++i) {
    (all.take(i), ...);
    result = combine(result, work(all.value...));
    (all.give(i), ...);
  }
  (all.store(j), ...);
  return result;
}

template <class Team, class... Streams>
MILLRACE_HD bool moves_eight(const Streams&... streams) {
  if constexpr (Team::kMovesEight)
    return (is_aligned(streams.memory) && ...);
  else
    return false;
}

template <class Team, class Work, class... Streams>
MILLRACE_HD void for_numbers(const Team& team, Index count, const Work& work, const Streams&... streams) {
  Index first = 0;
  if (moves_eight<Team>(streams...)) {
    first = count / 8 * 8;
    team.each(count / 8, [=](Index i) { do_at_eight(8 * i, work, all_eight(streams)...); });
    if (first == count) return;
  }
  team.each(count - first, [=](Index j) { do_at_one(first + j, work, typename Streams::One{streams}...); });
}

template <class Team, class Number>
MILLRACE_HD void clear_numbers(const Team& team, Index count, Number* to) {
  for_numbers(
      team, count, [](auto& number) { number = 0; }, writing(to));
}

/// to = from, bit by bit.
template <class Team, class Number>
MILLRACE_HD void copy_numbers(const Team& team, Index count, const Number* from, Number* to) {
  Index first = 0;
  if (moves_eight<Team>(reading(from), writing(to))) {
    first = count / 8 * 8;
    team.each(count / 8, [=](Index i) { store_eight(to + 8 * i, load_eight(from + 8 * i)); });
    if (first == count) return;
  }
  team.each(count - first, [=](Index j) { to[first + j] = from[first + j]; });
}

/// The sum of what the work returns.
template <class Team, class Work, class... Streams>
MILLRACE_HD auto sum_numbers(const Team& team, Index count, const Work& work, const Streams&... streams) {
  const auto one = [=](Index j) { return result_at_one(j, work, typename Streams::One{streams}...); };
  using Sum = decltype(one(Index{0}));
  if (!moves_eight<Team>(streams...)) return team.sum(count, one);
  const Index first = count / 8 * 8;
  const auto add = [](Sum a, Sum b) { return a + b; };
  const Sum sum =
      team.sum(count / 8, [=](Index i) { return result_at_eight(8 * i, add, work, all_eight(streams)...); });
  if (first == count) return sum;
  return sum + team.sum(count - first, [=](Index j) { return one(first + j); });
}

/// The largest. REQUIRES: count > 0.
template <class Team, class Work, class... Streams>
MILLRACE_HD auto max_numbers(const Team& team, Index count, const Work& work, const Streams&... streams) {
  const auto one = [=](Index j) { return result_at_one(j, work, typename Streams::One{streams}...); };
  if (!moves_eight<Team>(streams...) || count % 8 != 0) return team.max(count, one);
  using Largest = decltype(one(Index{0}));
  const auto larger = [](Largest a, Largest b) { return a > b ? a : b; };
  return team.max(count / 8, [=](Index i) { return result_at_eight(8 * i, larger, work, all_eight(streams)...); });
}

}  // namespace millrace
