#pragma once

#include "model/cuda/gpu_team.h"
#include "model/cuda/launch.h"
#include "model/lanes/numbers.h"

namespace millrace {

/// How many threads work on a block of a kernel: 128 take a row of 1024 numbers at once, eight each.
template <class Kernel>
inline constexpr int kThreadsOf = 128;
/// So many of a multiprocessor's threads find room for their registers: half of them, 64 registers each. With more
/// threads ptxas would keep some values of some kernels in memory.
template <class Kernel>
inline constexpr int kThreadsAtOnceOf = 1024;

/// From compute capability 9.0, blocks come to the card while the kernel before ends, and wait for its results; those
/// of the next one may come as soon as all of these have (programmatic dependent launch). Before that they write
/// nothing, and read nothing that a kernel makes.
template <class Kernel, class Numbers>
__global__ void __launch_bounds__(kThreadsOf<Kernel>, kThreadsAtOnceOf<Kernel> / kThreadsOf<Kernel>)
    block_of(const __grid_constant__ Kernel kernel) {
  using Team = GpuTeam<kThreadsOf<Kernel>>;
  __shared__ typename Team::Shared shared;
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
  cudaTriggerProgrammaticLaunchCompletion();
#endif
  kernel.template operator()<Numbers>(Team(shared), static_cast<Index>(blockIdx.x));
}

template <class Kernel>
cudaError_t launch(const Kernel& kernel, Precision precision, Index blocks, cudaStream_t stream) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t how{};
  how.gridDim = static_cast<unsigned>(blocks);
  how.blockDim = kThreadsOf<Kernel>;
  how.stream = stream;
  how.attrs = &early;
  how.numAttrs = kernels_follow_each_other() ? 1 : 0;
  if (precision == Precision::bf16)
    return cudaLaunchKernelEx(&how, block_of<Kernel, NumbersOf<Precision::bf16>>, kernel);
  return cudaLaunchKernelEx(&how, block_of<Kernel, NumbersOf<Precision::f32>>, kernel);
}

/// Compiles a kernel here.
#define MILLRACE_COMPILE(Kernel) template cudaError_t launch(const Kernel&, Precision, Index, cudaStream_t)

}  // namespace millrace
