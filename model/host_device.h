#pragma once

/// Marks what runs on a GPU too.
#if defined(__CUDACC__)
#define MILLRACE_HD __host__ __device__ __forceinline__
#else
#define MILLRACE_HD inline
#endif
