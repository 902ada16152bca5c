#pragma once

namespace millrace {

/// How many threads the model and the optimizer compute with; 0: all cores. Results do not depend on it.
void set_compute_threads(int threads);
int compute_threads();

}  // namespace millrace
