#include "trainer/run/compute_threads.h"

#include <algorithm>
#include <cstdlib>
#include <future>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>
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

void require_threads(int threads) {
  const auto wanted = static_cast<std::size_t>(threads);
  std::promise<void> end;
  const std::shared_future<void> ended = end.get_future().share();
  std::vector<std::thread> granted;
  granted.reserve(wanted);
  try {
    while (granted.size() < wanted) granted.emplace_back([ended] { ended.wait(); });
  } catch (const std::system_error&) {
    // The system grants no more: reported below.
  }
  end.set_value();
  for (std::thread& thread : granted) thread.join();
  if (granted.size() == wanted) return;
  throw std::runtime_error(
      fmt::format("the system grants {} of {} threads that are needed: use fewer with --threads, or raise its limit "
                  "(ulimit -u, ulimit -v, a cgroup's pids.max)",
                  granted.size(), wanted));
}

void let_idle_threads_sleep(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "passive", 0) != 0) return;
  execv("/proc/self/exe", argv);
  // execv returns only on failure (no /proc): threads spin, which only costs time.
}

}  // namespace millrace
