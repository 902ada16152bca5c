// What is done to rows of activations.
#include "model/cuda/launch_kernel.h"
#include "model/kernels/attention.h"
#include "model/kernels/dropout.h"
#include "model/kernels/loss_row.h"
#include "model/kernels/norm_rows.h"
#include "model/kernels/rows.h"
#include "model/kernels/swiglu.h"

namespace millrace {

/// A row has as many numbers as the vocabulary has ids.
template <>
inline constexpr int kThreadsOf<LossRow> = 1024;
/// Half a head at a time.
template <>
inline constexpr int kThreadsOf<TurnHeads> = 64;
template <>
inline constexpr int kThreadsOf<AddPieces> = AddPieces::kColumns;

MILLRACE_COMPILE(EmbeddingRows);
MILLRACE_COMPILE(EmbeddingGradient);
MILLRACE_COMPILE(CopyRows);
MILLRACE_COMPILE(AddRows);
MILLRACE_COMPILE(CopyLowRows);
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

}  // namespace millrace
