#include "model/bf16.h"

#include "model/parallel.h"

namespace millrace {

bool processor_has_bf16() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") != 0;  // Every processor with AMX has it, too.
#else
  return false;
#endif
}

void round_to(View<const float> from, View<Bf16> to) {
  constexpr Index kRows = 16;
  for_ranges(from.rows, kRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const float* source = from.row(i);
      Bf16* target = to.row(i);
#pragma omp simd
      for (Index j = 0; j < from.columns; ++j) target[j] = rounded(source[j]);
    }
  });
}

}  // namespace millrace
