// What the optimizers do to weights.
#include "model/cuda/launch_kernel.h"
#include "model/kernels/adafactor.h"
#include "model/kernels/adafactor_whole.h"
#include "model/kernels/adamw.h"
#include "model/kernels/row_pieces.h"

namespace millrace {

// What goes through many tensors at once has 128 registers.
template <>
inline constexpr int kThreadsAtOnceOf<AdamWCheck> = 512;
template <>
inline constexpr int kThreadsAtOnceOf<AdamWApply> = 512;

MILLRACE_COMPILE(SumSquares);
MILLRACE_COMPILE(AdafactorSums);
MILLRACE_COMPILE(AdafactorColumns);
MILLRACE_COMPILE(AdafactorRowSums);
MILLRACE_COMPILE(AdafactorFactors);
MILLRACE_COMPILE(AdafactorMoments);
MILLRACE_COMPILE(AdafactorCheck);
MILLRACE_COMPILE(AdafactorApply);
MILLRACE_COMPILE(AdafactorWholeMoments);
MILLRACE_COMPILE(AdafactorWholeCheck);
MILLRACE_COMPILE(AdafactorWholeApply);
MILLRACE_COMPILE(AdamWCheck);
MILLRACE_COMPILE(AdamWApply);

}  // namespace millrace
