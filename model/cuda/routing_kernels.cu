// What brings tokens to experts and back.
#include "model/cuda/launch_kernel.h"
#include "model/kernels/dropout.h"
#include "model/kernels/routing.h"
#include "model/kernels/slots.h"

namespace millrace {

template <>
inline constexpr int kThreadsOf<RouteTokens> = RouteTokens::kTokens;
template <>
inline constexpr int kThreadsOf<RouteBackward> = RouteBackward::kTokens;
/// A group has thousands of tokens.
template <>
inline constexpr int kThreadsOf<QueuePairs> = 256;
template <>
inline constexpr int kThreadsOf<SumRouting> = 1024;
/// A lane an expert.
template <>
inline constexpr int kThreadsOf<PlaceSlots> = 32;

// What holds many numbers at once has 128 registers.
template <>
inline constexpr int kThreadsAtOnceOf<CombineBackward> = 512;

MILLRACE_COMPILE(RouteTokens);
MILLRACE_COMPILE(QueuePairs);
MILLRACE_COMPILE(PlaceSlots);
MILLRACE_COMPILE(EmptySlots);
MILLRACE_COMPILE(FillSlots);
MILLRACE_COMPILE(SumRouting);
MILLRACE_COMPILE(RouteBackward);
MILLRACE_COMPILE(GatherSlots);
MILLRACE_COMPILE(GatherSlotsBackward);
MILLRACE_COMPILE(CombineSlots);
MILLRACE_COMPILE(CombineBackward);
MILLRACE_COMPILE(DropSlots);

}  // namespace millrace
