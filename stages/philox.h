#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace millrace {

/// Randomness depends on the item, not on the thread: a generator is made from (seed, purpose, item) where needed, then
/// discarded. Values are the same on any machine, thread or restart. No std:: distribution is used.
///
/// Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// What draws are for: no two purposes share a stream, and none shares one with the hash that selects held-out
/// documents. Values are part of the stream version. kPurposes lists them.
enum class Purpose : std::uint32_t {
  shard_order = 1,
  block_order = 2,
  span_lengths = 3,
  random_sampling = 5,
  parameter_init = 6,
  generation = 7,
  document_chunk = 8,
  evaluation = 9,
  fractional_epoch = 10,
  window_order = 11,
  perfect_shuffle = 12,
};
inline constexpr std::array kPurposes{Purpose::shard_order,     Purpose::block_order,    Purpose::span_lengths,
                                      Purpose::random_sampling, Purpose::parameter_init, Purpose::generation,
                                      Purpose::document_chunk,  Purpose::evaluation,     Purpose::fractional_epoch,
                                      Purpose::window_order,    Purpose::perfect_shuffle};

/// A stream of draws for one item. The caller chooses what identifies an item: (corpus, epoch, ...) combined by
/// item_of.
class ItemRng {
 public:
  ItemRng(std::uint64_t seed, Purpose purpose, std::uint64_t item);

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// Uniform in [0, bound), exactly (Lemire's rejection). REQUIRES: bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// Uniform in [0, 1) with 53 bits.
  double uniform();
  /// Standard normal (Box-Muller).
  double normal();
  /// A uniformly chosen permutation of 0 .. n-1 (Fisher-Yates).
  std::vector<std::uint32_t> permutation(std::uint32_t n);

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

/// Mixes the words that name an item into one 64-bit item number (splitmix64 finaliser, chained).
std::uint64_t item_of(std::initializer_list<std::uint64_t> words);

}  // namespace millrace
