#pragma once

// The GPU's team (model/cuda/gpu_team.h) on the processor: the lanes of a block take turns, each until it comes to a
// barrier. Where a barrier is missing, another order of lanes gives other results, also for what stands between a
// kernel's calls of its team. Nothing else may include gpu_team.h: what CUDA gives device code is defined here.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <ucontext.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace millrace::test {

constexpr int kLanesInTurn = 64;

/// Tells AddressSanitizer which stack comes next, and then that it has come.
struct StackChange {
  void* own = nullptr;  ///< What it keeps of the stack that is left.
  const void* next = nullptr;
  std::size_t next_bytes = 0;

#if defined(__SANITIZE_ADDRESS__)
  void begin(bool comes_back = true) {
    __sanitizer_start_switch_fiber(comes_back ? &own : nullptr, next, next_bytes);
  }
  /// Then `next` is where it came from.
  void end() {
    __sanitizer_finish_switch_fiber(own, &next, &next_bytes);
  }
#else
  void begin(bool /*comes_back*/ = true) {}
  void end() {}
#endif
};

/// The lanes of one block.
class LanesInTurn {
 public:
  static LanesInTurn& current() {
    static LanesInTurn lanes;
    return lanes;
  }

  /// Calls work(lane) of every lane, in this order of lanes between any two barriers. A lane that ends while others
  /// wait at a barrier is an error.
  template <class Work>
  void run(const std::vector<std::int64_t>& order, const Work& work) {
    work_ = [](const void* what, int lane) { (*static_cast<const Work*>(what))(lane); };
    what_ = &work;
    for (int lane = 0; lane < kLanesInTurn; ++lane) prepare(lane);
    ended_ = 0;
    turn_ = {};
    while (ended_ < kLanesInTurn) {
      const int ended_before = ended_;
      for (const std::int64_t lane : order) take_turn(static_cast<int>(lane));
      if (ended_ != ended_before && ended_ != kLanesInTurn)
        throw std::logic_error("some lanes ended and others wait at a barrier");
    }
  }

  int lane() const { return lane_; }
  void barrier() {
    StackChange change = caller_stack_;
    change.begin();
    swapcontext(&contexts_[static_cast<std::size_t>(lane_)], &caller_);
    change.end();
  }

  /// The value of another lane of the warp; of this one if there is none. All lanes of the block come here together.
  template <class Value>
  Value from_lane(Value own, int other) {
    static_assert(sizeof(Value) <= sizeof(std::uint64_t));
    const auto here = static_cast<std::size_t>(lane_);
    auto& exchanged = exchanged_[turn_[here]++ % 2];  // Two in turn, so that one barrier is enough.
    std::memcpy(&exchanged[here], &own, sizeof own);
    barrier();
    Value theirs = own;
    if (other >= 0 && other / 32 == lane_ / 32)
      std::memcpy(&theirs, &exchanged[static_cast<std::size_t>(other)], sizeof theirs);
    return theirs;
  }

 private:
  static constexpr std::size_t kStackBytes = 1 << 16;

  LanesInTurn() : stacks_(kLanesInTurn * kStackBytes) {}

  std::byte* stack_of(int lane) { return stacks_.data() + static_cast<std::size_t>(lane) * kStackBytes; }

  /// By itself: a compiler takes getcontext for a function that returns twice.
  [[gnu::noinline]] void prepare(int lane) {
    ucontext_t* context = &contexts_[static_cast<std::size_t>(lane)];
    getcontext(context);
    context->uc_stack.ss_sp = stack_of(lane);
    context->uc_stack.ss_size = kStackBytes;
    context->uc_link = &caller_;
    makecontext(context, &LanesInTurn::begin, 0);
  }
  [[gnu::noinline]] void take_turn(int lane) {
    lane_ = lane;
    StackChange change{nullptr, stack_of(lane), kStackBytes};
    change.begin();
    swapcontext(&caller_, &contexts_[static_cast<std::size_t>(lane)]);
    change.end();
  }

  static void begin() {
    LanesInTurn& lanes = current();
    lanes.caller_stack_ = {};
    lanes.caller_stack_.end();
    lanes.work_(lanes.what_, lanes.lane_);
    ++lanes.ended_;
    lanes.caller_stack_.begin(false);
  }

  void (*work_)(const void*, int) = nullptr;
  const void* what_ = nullptr;
  int lane_ = 0;
  int ended_ = 0;
  ucontext_t caller_{};
  StackChange caller_stack_;
  std::array<ucontext_t, kLanesInTurn> contexts_{};
  std::array<std::array<std::uint64_t, kLanesInTurn>, 2> exchanged_{};
  std::array<unsigned, kLanesInTurn> turn_{};
  std::vector<std::byte> stacks_;
};

struct ThreadIndex {
  struct Lane {
    operator unsigned() const { return static_cast<unsigned>(LanesInTurn::current().lane()); }
  } x;
};
inline constexpr ThreadIndex threadIdx;  // NOLINT(readability-identifier-naming)

}  // namespace millrace::test

#define __device__
#define __syncthreads() ::millrace::test::LanesInTurn::current().barrier()
#define __shfl_xor_sync(mask, value, distance)              \
  ::millrace::test::LanesInTurn::current().from_lane(value, \
                                                     ::millrace::test::LanesInTurn::current().lane() ^ (distance))
#define __shfl_up_sync(mask, value, distance)               \
  ::millrace::test::LanesInTurn::current().from_lane(value, \
                                                     ::millrace::test::LanesInTurn::current().lane() - (distance))
namespace millrace {
using test::threadIdx;
}
#include "model/cuda/gpu_team.h"
#undef __device__
#undef __syncthreads
#undef __shfl_xor_sync
#undef __shfl_up_sync

#include "tests/model/kernels/ordered_device.h"

namespace millrace::test {

using TestTeam = GpuTeam<kLanesInTurn>;

/// Does work(team, lane) for every lane of a block.
template <class Work>
void in_a_block(Order order, const Work& work) {
  TestTeam::Shared shared{};
  LanesInTurn::current().run(in_order(order, kLanesInTurn), [&](int lane) { work(TestTeam(shared), lane); });
}

/// A CpuDevice whose kernels are run by the GPU's team, in f32 or bf16, as a card runs them.
class LanesInTurnDevice : public CpuDevice {
 public:
  LanesInTurnDevice(Precision precision, Order order) : CpuDevice(precision, ProductSource::loops), order_(order) {}

  void run(const AnyKernel& kernel, Index blocks) override {
    std::visit(
        [&](const auto& one) {
          if (precision() == Precision::bf16) return run_blocks<NumbersOf<Precision::bf16>>(one, blocks);
          run_blocks<NumbersOf<Precision::f32>>(one, blocks);
        },
        kernel);
  }
  void attend(const AttentionCall& call) override { attention_.attend(call); }
  void attend_backward(const AttentionGradient& call) override { attention_.attend_backward(call); }
  void multiply(const Product& product) override {
    if (has_few_rows(product)) return multiply_few_rows(*this, product);
    CpuDevice::multiply(product);
  }
  bool has_ragged_products() const override { return false; }
  bool takes_ragged_rows(Index rows) const override { return rows <= kMostFewRows; }

 private:
  template <class Numbers, class Kernel>
  void run_blocks(const Kernel& kernel, Index blocks) const {
    for (const Index block : in_order(order_, blocks))
      in_a_block(order_, [&](const TestTeam& team, int) { kernel.template operator()<Numbers>(team, block); });
  }

  Order order_;
  KernelAttention attention_{*this};
};

}  // namespace millrace::test
