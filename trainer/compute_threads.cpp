#include "trainer/compute_threads.h"

#include <algorithm>
#include <cstdlib>

#include <omp.h>
#include <unistd.h>

namespace millrace {

void set_compute_threads(int threads) {
  omp_set_dynamic(0);
  omp_set_num_threads(std::min(threads > 0 ? threads : omp_get_num_procs(), omp_get_thread_limit()));
}

int compute_threads() {
  return omp_get_max_threads();
}

void let_idle_threads_sleep(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "passive", 0) != 0) return;
  execv("/proc/self/exe", argv);
  // Still here: there is no /proc. Threads spin, which costs time only.
}

}  // namespace millrace
