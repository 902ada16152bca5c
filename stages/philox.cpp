#include "stages/philox.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

namespace millrace {
namespace {

constexpr int kRounds = 10;
constexpr std::array<std::uint32_t, 2> kMultipliers{0xD2511F53, 0xCD9E8D57};
constexpr std::array<std::uint32_t, 2> kWeyl{0x9E3779B9, 0xBB67AE85};

constexpr std::uint64_t splitmix64_finalizer(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EB;
  return word ^ (word >> 31);
}

constexpr std::uint32_t low(std::uint64_t word) {
  return static_cast<std::uint32_t>(word);
}
constexpr std::uint32_t high(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32);
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t first = std::uint64_t{kMultipliers[0]} * counter[0];
    const std::uint64_t second = std::uint64_t{kMultipliers[1]} * counter[2];
    counter = {high(second) ^ counter[1] ^ key[0], low(second), high(first) ^ counter[3] ^ key[1], low(first)};
    key[0] += kWeyl[0];
    key[1] += kWeyl[1];
  }
  return counter;
}

ItemRng::ItemRng(std::uint64_t seed, Purpose purpose, std::uint64_t item)
    : key_{low(seed), high(seed)}, counter_{0, static_cast<std::uint32_t>(purpose), low(item), high(item)} {}

std::uint32_t ItemRng::next_u32() {
  if (used_ == 4) {
    block_ = philox4x32_10(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[static_cast<std::size_t>(used_++)];
}

std::uint64_t ItemRng::next_u64() {
  const std::uint64_t upper = next_u32();
  return upper << 32 | next_u32();
}

std::uint64_t ItemRng::below(std::uint64_t bound) {
  if (bound <= std::numeric_limits<std::uint32_t>::max()) {
    const auto small = static_cast<std::uint32_t>(bound);
    std::uint64_t product = std::uint64_t{next_u32()} * small;
    if (low(product) < small) {
      const std::uint32_t threshold = (0U - small) % small;
      while (low(product) < threshold) product = std::uint64_t{next_u32()} * small;
    }
    return product >> 32;
  }
  const std::uint64_t threshold = (0ULL - bound) % bound;
  for (;;) {
    const std::uint64_t draw = next_u64();
    if (draw >= threshold) return draw % bound;
  }
}

double ItemRng::uniform() {
  return static_cast<double>(next_u64() >> 11) * 0x1p-53;
}

double ItemRng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::vector<std::uint32_t> ItemRng::permutation(std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  for (std::uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  return order;
}

std::uint64_t item_of(std::initializer_list<std::uint64_t> words) {
  std::uint64_t mixed = 0;
  for (const std::uint64_t word : words) mixed = splitmix64_finalizer((mixed ^ word) + 0x9E3779B97F4A7C15);
  return mixed;
}

}  // namespace millrace
