#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/host_device.h"
#include "model/matrix.h"

namespace millrace {

/// A block of kThreads threads of a GPU as a team (model/lanes/team.h): lane i has the indices i, i + kThreads, ...
/// Values of lanes are combined in a fixed tree: within each warp by its halves, then the warps by theirs (of groups,
/// one warp after the other). So sums depend on the number of indices and of threads alone. For nvcc, in device code
/// only.
template <int kThreads>
class GpuTeam {
 public:
  static constexpr int kLanes = kThreads;
  static constexpr bool kMovesEight = true;
  static constexpr int kWarp = 32;
  static constexpr int kWarps = kThreads / kWarp;
  static_assert(kThreads % kWarp == 0 && (kWarps & (kWarps - 1)) == 0 && kWarps <= kWarp,
                "the tree wants a power of two");

  static constexpr int kMostGroups = 16;

  /// What the threads of a block exchange: of each warp a value of up to 8 bytes, or one of each group of up to 32.
  struct Shared {
    std::uint64_t of_warp[kWarps];
    alignas(16) std::byte of_groups[kWarps][kMostGroups * 32];
  };

  __device__ explicit GpuTeam(Shared& shared) : shared_(shared) {}

  /// A value a lane, in its registers.
  template <class Value>
  struct Each {
    Value value{};
    __device__ Value& operator[](int /*lane*/) { return value; }
    __device__ const Value& operator[](int /*lane*/) const { return value; }
  };

  template <class Work>
  __device__ void each(Index count, const Work& work) const {
    for (Index j = threadIdx.x; j < count; j += kLanes) work(j);
    __syncthreads();
  }

  template <class Term>
  __device__ auto sum(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    Value own{0};
    for (Index j = threadIdx.x; j < count; j += kLanes) own += term(j);
    return combined(own, [](Value a, Value b) { return a + b; });
  }

  /// REQUIRES: count > 0. Lanes without an index have the first one's term.
  template <class Term>
  __device__ auto max(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    const auto larger = [](Value a, Value b) { return a > b ? a : b; };
    Value own = term(threadIdx.x < count ? Index{threadIdx.x} : Index{0});
    for (Index j = Index{threadIdx.x} + kLanes; j < count; j += kLanes) own = larger(own, term(j));
    return combined(own, larger);
  }

  /// Lane i works for group i mod kGroups. Lanes of a group are combined by halves of each warp, then warp by warp.
  template <int kGroups, int kAtOnce, class Term, class Done>
  __device__ void sums(Index count, const Term& term, const Done& done) const {
    static_assert((kGroups & (kGroups - 1)) == 0 && kGroups <= kMostGroups);
    const int group = static_cast<int>(threadIdx.x % kGroups);
    using Value = decltype(term(group, Index{0}));
    static_assert(sizeof(Value) <= 32 && sizeof(Value) % sizeof(float) == 0);
    Value own{};
    MILLRACE_UNROLL(kAtOnce)
    for (Index j = threadIdx.x / kGroups; j < count; j += kLanes / kGroups) own += term(group, j);
    for (int distance = kWarp / 2; distance >= kGroups; distance /= 2) own += from_lane(own, distance);
    const auto place = [&](int warp) { return reinterpret_cast<Value*>(shared_.of_groups[warp]) + group; };
    if (threadIdx.x % kWarp < kGroups) *place(static_cast<int>(threadIdx.x / kWarp)) = own;
    __syncthreads();
    if (threadIdx.x < kGroups) {
      Value all = *place(0);
      for (int warp = 1; warp < kWarps; ++warp) all += *place(warp);
      done(group, all);
    }
    __syncthreads();
  }

  template <class Work>
  __device__ void lanes(const Work& work) const {
    work(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <class Value>
  __device__ Value scan(Each<Value>& values) const {
    const int lane = threadIdx.x % kWarp;
    const int warp = threadIdx.x / kWarp;
    Value up_to_here = values.value;
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const Value before = __shfl_up_sync(kAll, up_to_here, distance);
      if (lane >= distance) up_to_here += before;
    }
    if (lane == kWarp - 1) of_warp<Value>(warp) = up_to_here;
    __syncthreads();
    Value before{};
    Value all{};
    for (int other = 0; other < kWarps; ++other) {
      if (other == warp) before = all;
      all += of_warp<Value>(other);
    }
    __syncthreads();
    values.value = before + up_to_here - values.value;
    return all;
  }

 private:
  static constexpr unsigned kAll = 0xffffffffU;

  template <class Value>
  __device__ Value& of_warp(int warp) const {
    static_assert(sizeof(Value) <= sizeof(std::uint64_t));
    return *reinterpret_cast<Value*>(&shared_.of_warp[warp]);
  }

  /// The value of the lane at a distance, word by word.
  template <class Value>
  __device__ static Value from_lane(const Value& own, int distance) {
    constexpr int kWords = sizeof(Value) / sizeof(float);
    float words[kWords];
    memcpy(words, &own, sizeof(Value));
    MILLRACE_UNROLL(kWords)
    for (int i = 0; i < kWords; ++i) words[i] = __shfl_xor_sync(kAll, words[i], distance);
    Value other;
    memcpy(&other, words, sizeof(Value));
    return other;
  }

  /// The same bits in every lane: a tree of halves gives each lane of a pair the same two values, and sums and maxima
  /// do not depend on their order.
  template <class Value, class Op>
  __device__ Value combined(Value own, const Op& op) const {
    for (int distance = kWarp / 2; distance > 0; distance /= 2) own = op(own, __shfl_xor_sync(kAll, own, distance));
    if (threadIdx.x % kWarp == 0) of_warp<Value>(threadIdx.x / kWarp) = own;
    __syncthreads();
    own = of_warp<Value>(threadIdx.x % kWarps);
    for (int distance = kWarps / 2; distance > 0; distance /= 2) own = op(own, __shfl_xor_sync(kAll, own, distance));
    __syncthreads();
    return own;
  }

  Shared& shared_;
};

}  // namespace millrace
