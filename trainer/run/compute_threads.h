#pragma once

namespace millrace {

/// Sets the number of threads that the model and the optimizer compute with; 0: all cores. Results do not depend on it.
/// Limited to what OpenMP grants (OMP_THREAD_LIMIT; OMP_DYNAMIC is switched off): if a parallel region has fewer
/// threads than oneDNN asked for, oneDNN silently leaves work undone. So call this before any computation.
void set_compute_threads(int threads);
int compute_threads();

/// Throws std::runtime_error unless the system grants this many more threads: libraries that fail to start one later
/// end the program with an unclear message, or none.
void require_threads(int threads);

/// Makes idle OpenMP threads sleep rather than spin, unless the environment says otherwise: when cores are shared with
/// the pipeline's threads or other programs, spinning can slow small models tenfold. OpenMP reads its settings once,
/// before main, so the program restarts itself with them. Call first in main, with its argv.
void let_idle_threads_sleep(char** argv);

}  // namespace millrace
