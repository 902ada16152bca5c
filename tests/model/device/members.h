#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace millrace::test {

/// Converts to whatever a member is.
struct AnyMember {
  template <class Member>
  operator Member() const;  // NOLINT(google-explicit-constructor)
};

template <class Aggregate, std::size_t... kIndices>
constexpr bool has_members(std::index_sequence<kIndices...> /*indices*/) {
  return requires {
    Aggregate{(static_cast<void>(kIndices), AnyMember{})...};
  };
}

/// How many members an aggregate has.
template <class Aggregate, std::size_t kCount = 20>
constexpr std::size_t member_count() {
  if constexpr (kCount == 0 || has_members<Aggregate>(std::make_index_sequence<kCount>{})) {
    return kCount;
  } else {
    return member_count<Aggregate, kCount - 1>();
  }
}

/// visit(member) for each member of an aggregate of at most 17, in order.
template <class Aggregate, class Visit>
void for_each_member(Aggregate& all, const Visit& visit) {
  constexpr std::size_t kCount = member_count<Aggregate>();
  const auto each = [&](auto&... members) { (visit(members), ...); };
  // clang-format off
  if constexpr (kCount == 1) { auto& [a] = all; each(a); }
  else if constexpr (kCount == 2) { auto& [a, b] = all; each(a, b); }
  else if constexpr (kCount == 3) { auto& [a, b, c] = all; each(a, b, c); }
  else if constexpr (kCount == 4) { auto& [a, b, c, d] = all; each(a, b, c, d); }
  else if constexpr (kCount == 5) { auto& [a, b, c, d, e] = all; each(a, b, c, d, e); }
  else if constexpr (kCount == 6) { auto& [a, b, c, d, e, f] = all; each(a, b, c, d, e, f); }
  else if constexpr (kCount == 7) { auto& [a, b, c, d, e, f, g] = all; each(a, b, c, d, e, f, g); }
  else if constexpr (kCount == 8) { auto& [a, b, c, d, e, f, g, h] = all; each(a, b, c, d, e, f, g, h); }
  else if constexpr (kCount == 9) { auto& [a, b, c, d, e, f, g, h, i] = all; each(a, b, c, d, e, f, g, h, i); }
  else if constexpr (kCount == 10) { auto& [a, b, c, d, e, f, g, h, i, j] = all; each(a, b, c, d, e, f, g, h, i, j); }
  else if constexpr (kCount == 11) { auto& [a, b, c, d, e, f, g, h, i, j, k] = all; each(a, b, c, d, e, f, g, h, i, j, k); }
  else if constexpr (kCount == 12) { auto& [a, b, c, d, e, f, g, h, i, j, k, l] = all; each(a, b, c, d, e, f, g, h, i, j, k, l); }
  else if constexpr (kCount == 13) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = all; each(a, b, c, d, e, f, g, h, i, j, k, l, m); }
  else if constexpr (kCount == 14) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = all; each(a, b, c, d, e, f, g, h, i, j, k, l, m, n); }
  else if constexpr (kCount == 15) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = all; each(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o); }
  else if constexpr (kCount == 16) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = all; each(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p); }
  else if constexpr (kCount == 17) { auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q] = all; each(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q); }
  else { static_assert(kCount == 1, "more members than are listed here"); }
  // clang-format on
}

/// The same for the members of members that are classes, but for those that are Leafs.
template <class Leaf, class Aggregate, class Visit>
void for_each_leaf(Aggregate& all, const Visit& visit) {
  for_each_member(all, [&](auto& member) {
    using Member = std::remove_cvref_t<decltype(member)>;
    if constexpr (std::is_class_v<Member> && !std::is_same_v<Member, Leaf>) {
      for_each_leaf<Leaf>(member, visit);
    } else {
      visit(member);
    }
  });
}

}  // namespace millrace::test
