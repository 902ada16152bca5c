#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <variant>
#include <vector>

#include <cxxabi.h>

#include "model/device/device.h"
#include "tests/model/device/members.h"

namespace millrace::test {

/// How far the results of one kind of work were apart.
struct MirrorResult {
  std::size_t calls = 0;
  double worst = 0;              ///< Of floating-point numbers: the difference beside the largest number of the tensor.
  double worst_allowed = 0;      ///< Of the type in which the worst was seen.
  std::size_t different = 0;     ///< Integers that differ.
  std::size_t worst_member = 0;  ///< Of the kernel or call, from 0.

  bool holds() const { return worst <= worst_allowed && different == 0; }
};

/// Two devices that are given the same work with the same numbers, one that is trusted and whose memory is the host's,
/// and one that is checked. Before each piece of work the checked one is given the trusted one's numbers, and after it
/// the results are compared: so a difference is told of the work that made it.
class MirrorDevice : public Device {
 public:
  MirrorDevice(Device& trusted, Device& checked) : trusted_(trusted), checked_(checked) {}

  /// By the kernel's name, "product" or "attention".
  const std::map<std::string, MirrorResult>& results() const { return results_; }

  std::string name() const override { return checked_.name() + " beside " + trusted_.name(); }
  Precision precision() const override { return trusted_.precision(); }
  void* allocate(std::size_t bytes) override {
    void* memory = trusted_.allocate(bytes);
    std::memset(memory, 0, bytes);
    blocks_[static_cast<std::byte*>(memory)] = {checked_.allocate(bytes), bytes};
    return memory;
  }
  void release(void* memory) override {
    const auto found = blocks_.find(static_cast<std::byte*>(memory));
    checked_.release(found->second.checked);
    blocks_.erase(found);
    trusted_.release(memory);
  }
  void clear(void* memory, std::size_t bytes) override { trusted_.clear(memory, bytes); }
  void to_device(void* to, const void* from, std::size_t bytes) override { trusted_.to_device(to, from, bytes); }
  void to_host(void* to, const void* from, std::size_t bytes) override { trusted_.to_host(to, from, bytes); }
  void wait() override { checked_.wait(); }
  bool has_ragged_products() const override { return checked_.has_ragged_products(); }
  bool takes_ragged_rows(Index rows) const override { return checked_.takes_ragged_rows(rows); }

  void run(const AnyKernel& kernel, Index blocks) override {
    std::visit(
        [&](auto one) {
          compare(name_of(one), one, [&](Device& device, const auto& of_device) { device.run(of_device, blocks); });
        },
        kernel);
  }
  void multiply(const Product& product) override {
    compare("product", product, [](Device& device, const Product& of_device) { device.multiply(of_device); });
  }
  void attend(const AttentionCall& call) override {
    compare("attention", call, [](Device& device, const AttentionCall& of_device) { device.attend(of_device); });
  }
  void attend_backward(const AttentionGradient& call) override {
    struct Flat {
      Tensor q, k, v, out, log_sum, first_key, d_out, dq, dk, dv;
    };
    const AttentionCall& f = call.forward;
    clear_of_unseen(f, call.d_out);
    const Flat flat{f.q, f.k, f.v, f.out, f.log_sum, f.first_key, call.d_out, call.dq, call.dk, call.dv};
    compare("attention backward", flat, [&](Device& device, const Flat& of) {
      const AttentionCall own{f.rows, f.heads, f.start,    of.q,         of.k,
                              of.v,   of.out,  of.log_sum, of.first_key, f.is_causal};
      // Each goes back from its own result: of queries that see nothing they differ.
      if (&device == &checked_) device.attend(own);
      device.attend_backward({own, of.d_out, of.dq, of.dk, of.dv});
    });
  }

 private:
  /// Queries that see nothing: a card lets them see themselves, and what comes of it meets zeros later, in the model.
  static void clear_of_unseen(const AttentionCall& call, const Tensor& d_out) {
    const auto* first_key = static_cast<const std::int32_t*>(call.first_key.data);
    const Index length = d_out.rows / call.rows;
    for (Index at = 0; at < d_out.rows; ++at) {
      if (first_key[at] <= at % length) continue;
      std::memset(
          static_cast<std::byte*>(d_out.data) + static_cast<std::size_t>(at * d_out.stride) * bytes_of(d_out.type), 0,
          static_cast<std::size_t>(d_out.columns) * bytes_of(d_out.type));
    }
  }

  struct Block {
    void* checked = nullptr;
    std::size_t bytes = 0;
  };
  using Blocks = std::map<std::byte*, Block>;

  template <class Kernel>
  static std::string name_of(const Kernel& /*kernel*/) {
    int status = 0;
    char* text = abi::__cxa_demangle(typeid(Kernel).name(), nullptr, nullptr, &status);
    std::string name = status == 0 ? text : typeid(Kernel).name();
    std::free(text);
    return name.substr(name.rfind(':') + 1);
  }

  Blocks::const_iterator block_of(const void* pointer) const {
    auto* at = static_cast<std::byte*>(const_cast<void*>(pointer));
    auto found = blocks_.upper_bound(at);
    if (found == blocks_.begin()) throw std::logic_error("memory of no device");
    found = std::prev(found);
    if (at >= found->first + found->second.bytes) throw std::logic_error("memory of no device");
    return found;
  }

  template <class Work, class Call>
  void compare(const std::string& name, const Work& work, const Call& call) {
    Work theirs = work;
    std::vector<Blocks::const_iterator> used;
    const auto translated = [&](auto* pointer) {
      const auto block = block_of(pointer);
      if (std::find(used.begin(), used.end(), block) == used.end()) used.push_back(block);
      const std::ptrdiff_t offset = static_cast<const std::byte*>(static_cast<const void*>(pointer)) - block->first;
      return static_cast<decltype(pointer)>(
          static_cast<void*>(static_cast<std::byte*>(block->second.checked) + offset));
    };
    for_each_leaf<Tensor>(theirs, [&](auto& member) {
      using Member = std::remove_cvref_t<decltype(member)>;
      if constexpr (std::is_same_v<Member, Tensor>) {
        if (member) member.data = translated(member.data);
      } else if constexpr (std::is_pointer_v<Member>) {
        if (member != nullptr) member = const_cast<Member>(translated(member));
      }
    });
    for (const auto& block : used) checked_.to_device(block->second.checked, block->first, block->second.bytes);
    call(trusted_, work);
    call(checked_, theirs);
    MirrorResult& result = results_[name];
    ++result.calls;
    // Two members may be parts of one block: each is read once.
    Copies copies;
    for (const auto& block : used) {
      std::vector<std::byte>& copy = copies[block->first];
      copy.resize(block->second.bytes);
      checked_.to_host(copy.data(), block->second.checked, copy.size());
    }
    Work ours = work;
    std::size_t number = 0;
    for_each_leaf<Tensor>(ours, [&](auto& member) {
      const double before = result.worst;
      compare_member(ours, member, copies, result);
      if (result.worst != before) result.worst_member = number;
      ++number;
    });
  }

  using Copies = std::map<const void*, std::vector<std::byte>>;

  template <class Work, class Member>
  void compare_member(const Work& ours, const Member& member, Copies& copies, MirrorResult& result) const {
    if constexpr (std::is_same_v<Member, Tensor>) {
      if (!member || is_undefined(ours, member)) return;
      const auto block = block_of(member.data);
      Tensor copy = member;
      copy.data = copies[block->first].data() + (static_cast<std::byte*>(member.data) - block->first);
      compare_tensors(member, copy, result);
    } else if constexpr (std::is_pointer_v<Member>) {
      if (member == nullptr) return;
      const auto block = block_of(member);
      const auto offset = static_cast<const std::byte*>(static_cast<const void*>(member)) - block->first;
      compare_rest<std::remove_cv_t<std::remove_pointer_t<Member>>>(
          block->first + offset, copies[block->first].data() + offset,
          block->second.bytes - static_cast<std::size_t>(offset), result);
    }
  }

  /// Whether it is what a kernel leaves undefined.
  template <class Work>
  static bool is_undefined(const Work& work, const Tensor& member) {
    if constexpr (std::is_same_v<Work, LossRow>) return &member == &work.logits;
    return false;
  }

  void compare_tensors(const Tensor& ours, const Tensor& theirs, MirrorResult& result) const {
    switch (ours.type) {
      case Type::f64:
        return compare_numbers<double>(ours, theirs, result);
      case Type::f32:
        return compare_numbers<float>(ours, theirs, result);
      case Type::bf16:
        return compare_numbers<Bf16>(ours, theirs, result);
      case Type::i32:
        return compare_numbers<std::int32_t>(ours, theirs, result);
      case Type::u8:
        return compare_numbers<std::uint8_t>(ours, theirs, result);
    }
  }

  /// From a pointer of which only the type is known, up to the end of its memory. `void`: the real type.
  template <class Pointed>
  void compare_rest(std::byte* ours, std::byte* theirs, std::size_t bytes, MirrorResult& result) const {
    const auto whole = [&](Type type) {
      const Index count = static_cast<Index>(bytes / bytes_of(type));
      compare_tensors({ours, type, 1, count, count}, {theirs, type, 1, count, count}, result);
    };
    if constexpr (std::is_void_v<Pointed>) {
      whole(real());
    } else if constexpr (std::is_same_v<Pointed, std::uint8_t>) {
      whole(Type::u8);
    } else if constexpr (std::is_same_v<Pointed, double>) {
      whole(Type::f64);
    } else {
      static_assert(std::is_same_v<Pointed, std::int32_t>);
      whole(Type::i32);
    }
  }

  template <class Number>
  void compare_numbers(const Tensor& ours, const Tensor& theirs, MirrorResult& result) const {
    constexpr bool kIsWhole = std::is_integral_v<Number>;
    double largest = 0;
    double apart = 0;
    for (Index entry = 0; entry < ours.batch; ++entry) {
      for (Index i = 0; i < ours.rows; ++i) {
        const Number* a = ours.entry(entry).template row<Number>(i);
        const Number* b = theirs.entry(entry).template row<Number>(i);
        for (Index j = 0; j < ours.columns; ++j) {
          if constexpr (kIsWhole) {
            result.different += a[j] != b[j];
          } else {
            const auto x = static_cast<double>(value_of(a[j]));
            const auto y = static_cast<double>(value_of(b[j]));
            if (std::memcmp(&a[j], &b[j], sizeof(Number)) == 0) {
              if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
              continue;
            }
            const bool both_finite = std::isfinite(x) && std::isfinite(y);
            apart = both_finite ? std::max(apart, std::abs(x - y)) : std::numeric_limits<double>::infinity();
            if (both_finite) largest = std::max(largest, std::abs(x));
          }
        }
      }
    }
    if constexpr (!kIsWhole) {
      // Of sums in another order, and one more rounding; of doubles that are sums of floats, a few roundings of those.
      const double allowed = sizeof(Number) == 8   ? (real() == Type::f64 ? 1e-12 : 1e-7)
                             : sizeof(Number) == 4 ? 1e-5
                                                   : 1.0 / 128;
      if (apart == 0) return;
      const double relative = apart / largest;
      if (relative / allowed <= result.worst / std::max(result.worst_allowed, 1e-300)) return;
      result.worst = relative;
      result.worst_allowed = allowed;
    }
  }

  Device& trusted_;
  Device& checked_;
  Blocks blocks_;
  std::map<std::string, MirrorResult> results_;
};

}  // namespace millrace::test
