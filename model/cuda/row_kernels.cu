// What is done to rows of activations.
#include "model/cuda/launch_kernel.h"
#include "model/kernels/attention.h"
#include "model/kernels/dropout.h"
#include "model/kernels/loss_row.h"
#include "model/kernels/multiply_rows.h"
#include "model/kernels/norm_rows.h"
#include "model/kernels/rows.h"
#include "model/kernels/swiglu.h"

namespace millrace {

/// A row has as many numbers as the vocabulary has ids.
template <>
inline constexpr int kThreadsOf<LossRow> = 1024;
/// Many loads at once are wanted of each block.
template <>
inline constexpr int kThreadsOf<MultiplyRows> = 256;
template <>
inline constexpr int kThreadsOf<AttendQueries> = 256;
template <>
inline constexpr int kThreadsOf<AddPieces> = AddPieces::kColumns;

// What holds many numbers at once has 128 registers.
template <>
inline constexpr int kThreadsAtOnceOf<MultiplyRows> = 512;
template <>
inline constexpr int kThreadsAtOnceOf<AttendQueries> = 512;
template <>
inline constexpr int kThreadsAtOnceOf<SwigluBackward> = 512;

MILLRACE_COMPILE(EmbeddingRows);
MILLRACE_COMPILE(EmbeddingGradient);
MILLRACE_COMPILE(MultiplyRows);
MILLRACE_COMPILE(CopyRows);
MILLRACE_COMPILE(AddRows);
MILLRACE_COMPILE(ScatterLowRows);
MILLRACE_COMPILE(RoundRows);
MILLRACE_COMPILE(GatherRows);
MILLRACE_COMPILE(ScatterRows);
MILLRACE_COMPILE(NormRows);
MILLRACE_COMPILE(NormRowsBackward);
MILLRACE_COMPILE(AddPieces);
MILLRACE_COMPILE(TurnHeads);
MILLRACE_COMPILE(SeeItself);
MILLRACE_COMPILE(AttendQueries);
MILLRACE_COMPILE(AttendQueriesBackward);
MILLRACE_COMPILE(AttendKeysBackward);
MILLRACE_COMPILE(SwigluRows);
MILLRACE_COMPILE(SwigluBackward);
MILLRACE_COMPILE(LossRow);
MILLRACE_COMPILE(DropRows);
MILLRACE_COMPILE(DropKeys);
MILLRACE_COMPILE(AddDropped);

cudaError_t kernels_fit_the_card() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, block_of<CopyRows, NumbersOf<Precision::f32>>);
}

bool kernels_follow_each_other() {
  static const bool kDo = [] {
    cudaFuncAttributes attributes{};
    cudaFuncGetAttributes(&attributes, block_of<CopyRows, NumbersOf<Precision::f32>>);
    return attributes.ptxVersion >= 90;
  }();
  return kDo;
}

}  // namespace millrace
