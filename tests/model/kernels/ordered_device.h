#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <utility>
#include <variant>
#include <vector>

#include "model/cpu/cpu_device.h"
#include "model/device/few_rows.h"
#include "model/device/kernel_attention.h"

namespace millrace::test {

enum class Order : std::uint8_t { forwards, backwards, shuffled };

/// The numbers from 0 in an order.
inline std::vector<Index> in_order(Order order, Index count) {
  std::vector<Index> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), Index{0});
  if (order == Order::backwards) std::ranges::reverse(numbers);
  if (order == Order::shuffled) std::ranges::shuffle(numbers, std::mt19937_64(static_cast<std::uint64_t>(count)));
  return numbers;
}

/// A team whose lanes do their work one after another in an order: a kernel that lacks a barrier gives other results in
/// another order. As on a GPU, lane i has the indices i, i + kLanes, ...
template <Order kOrder>
struct OrderedTeam {
  static constexpr int kLanes = 32;
  static constexpr bool kMovesEight = true;
  template <class Value>
  struct Each {
    std::array<Value, kLanes> values{};
    Value& operator[](int lane) { return values.at(static_cast<std::size_t>(lane)); }
  };

  template <class Work>
  void each(Index count, const Work& work) const {
    lanes([&](int lane) {
      for (Index j = lane; j < count; j += kLanes) work(j);
    });
  }

  template <class Term>
  auto sum(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    return folded(count, term, Value{0}, [](Value a, Value b) { return a + b; });
  }

  template <class Term>
  auto max(Index count, const Term& term) const {
    using Value = decltype(term(Index{0}));
    return folded(count, term, term(0), [](Value a, Value b) { return a > b ? a : b; });
  }

  template <int kGroups, int kAtOnce, class Term, class Done>
  void sums(Index count, const Term& term, const Done& done) const {
    using Value = decltype(term(0, Index{0}));
    Each<Value> parts;
    lanes([&](int lane) {
      for (Index j = lane / kGroups; j < count; j += kLanes / kGroups) parts[lane] += term(lane % kGroups, j);
    });
    lanes([&](int lane) {
      if (lane >= kGroups) return;
      Value all = parts[lane];
      for (int other = lane + kGroups; other < kLanes; other += kGroups) all += parts[other];
      done(lane, all);
    });
  }

  template <class Work>
  void lanes(const Work& work) const {
    static const std::vector<Index> order = in_order(kOrder, kLanes);
    for (const Index lane : order) work(static_cast<int>(lane));
  }

  template <class Value>
  Value scan(Each<Value>& values) const {
    Value sum{};
    for (Value& value : values.values) sum += std::exchange(value, sum);
    return sum;
  }

 private:
  template <class Term, class Value, class Op>
  Value folded(Index count, const Term& term, Value first, const Op& op) const {
    Each<Value> parts;
    lanes([&](int lane) {
      parts[lane] = first;
      for (Index j = lane; j < count; j += kLanes) parts[lane] = op(parts[lane], term(j));
    });
    for (int width = kLanes / 2; width > 0; width /= 2)
      for (int lane = 0; lane < width; ++lane) parts[lane] = op(parts[lane], parts[lane + width]);
    return parts[0];
  }
};

/// A CpuDevice whose kernels are run by such teams, their blocks in the same order, on one thread.
class OrderedDevice : public CpuDevice {
 public:
  OrderedDevice(Precision precision, Order order, bool has_ragged)
      : CpuDevice(precision, ProductSource::loops), order_(order), has_ragged_(has_ragged) {}

  void run(const AnyKernel& kernel, Index blocks) override {
    std::visit(
        [&](const auto& one) {
          switch (order_) {
            case Order::forwards:
              return run_in_precision<Order::forwards>(one, blocks);
            case Order::backwards:
              return run_in_precision<Order::backwards>(one, blocks);
            case Order::shuffled:
              return run_in_precision<Order::shuffled>(one, blocks);
          }
        },
        kernel);
  }
  void attend(const AttentionCall& call) override { attention_.attend(call); }
  void attend_backward(const AttentionGradient& call) override { attention_.attend_backward(call); }
  /// As a card: few rows by a kernel.
  void multiply(const Product& product) override {
    check(product);
    if (!has_ragged_ && has_few_rows(product)) return multiply_few_rows(*this, product);
    CpuDevice::multiply(product);
  }
  bool has_ragged_products() const override { return has_ragged_; }
  bool takes_ragged_rows(Index rows) const override { return has_ragged_ || rows <= kMostFewRows; }

 private:
  template <Order kOrder, class Kernel>
  void run_in_precision(const Kernel& kernel, Index blocks) const {
    switch (precision()) {
      case Precision::f32:
        return run_blocks<kOrder, NumbersOf<Precision::f32>>(kernel, blocks);
      case Precision::bf16:
        return run_blocks<kOrder, NumbersOf<Precision::bf16>>(kernel, blocks);
      case Precision::f64:
        return run_blocks<kOrder, NumbersOf<Precision::f64>>(kernel, blocks);
    }
  }
  template <Order kOrder, class Numbers, class Kernel>
  static void run_blocks(const Kernel& kernel, Index blocks) {
    for (const Index block : in_order(kOrder, blocks))
      kernel.template operator()<Numbers>(OrderedTeam<kOrder>{}, block);
  }

  Order order_;
  bool has_ragged_;
  KernelAttention attention_{*this, 1};  // A row at a time.
};

}  // namespace millrace::test
