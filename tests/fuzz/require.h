#pragma once

#include <cstdio>
#include <cstdlib>

namespace millrace {

/// Aborts a fuzzer's run with a finding. Not assert, which NDEBUG removes.
inline void require(bool holds, const char* rule) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", rule);
  std::abort();
}

}  // namespace millrace
