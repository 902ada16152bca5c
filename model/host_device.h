#pragma once

/// Marks what runs on a GPU too.
#if defined(__CUDACC__)
#define MILLRACE_HD __host__ __device__ __forceinline__
/// Before a loop: so many of its turns at a time, where it is compiled for a GPU.
#define MILLRACE_UNROLL(turns) MILLRACE_PRAGMA(unroll turns)
#define MILLRACE_PRAGMA(text) _Pragma(#text)
#else
#define MILLRACE_HD inline
#define MILLRACE_UNROLL(turns)
#endif
