#include "model/bf16.h"

namespace millrace {

bool processor_has_bf16() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") != 0;  // Every processor with AMX has it, too.
#else
  return false;
#endif
}

}  // namespace millrace
