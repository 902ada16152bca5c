#pragma once

#include <cuda_runtime_api.h>

#include "model/bf16.h"
#include "model/matrix.h"

namespace millrace {

/// Gives a stream the work of so many blocks of a kernel, of model/kernels/any_kernel.h. Each is compiled for f32 and
/// bf16 in one of the .cu files here.
/// REQUIRES: blocks > 0, and no more than a grid has.
template <class Kernel>
cudaError_t launch(const Kernel& kernel, Precision precision, Index blocks, cudaStream_t stream);

/// Whether the current card can run what was compiled.
cudaError_t kernels_fit_the_card();
/// Whether the machine code that it runs was compiled to wait for the kernel before (launch_kernel.h).
bool kernels_follow_each_other();

}  // namespace millrace
