#pragma once

namespace millrace {

/// How many threads the model and the optimizer compute with; 0: all cores. Results do not depend on it. At most as
/// many as OpenMP grants (OMP_THREAD_LIMIT; OMP_DYNAMIC is switched off): oneDNN leaves work undone, and says nothing,
/// where a parallel region has fewer threads than it asked for. So whatever computes must have called this.
void set_compute_threads(int threads);
int compute_threads();

/// Throws std::runtime_error unless the system grants so many threads beside those there are: libraries that find out
/// later end the program with a message of their own, or none.
void require_threads(int threads);

/// Makes idle OpenMP threads sleep rather than spin, unless the environment says otherwise: where cores are shared,
/// with the pipeline's threads or other programs, spinning was seen to slow small models tenfold. OpenMP reads its
/// settings once, before main, so the program starts itself again with them. To be called first in main, with its argv.
void let_idle_threads_sleep(char** argv);

}  // namespace millrace
