#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace millrace {

/// A word as a key: its bytes, padded with zeros. At most kMaxBytes of them.
struct WordKey {
  static constexpr std::size_t kMaxBytes = 24;
  std::array<std::uint64_t, 3> bytes{};
  std::uint32_t length = 0;
  std::uint64_t hash = 0;

  WordKey() = default;
  /// REQUIRES: 1 <= length <= kMaxBytes; kMaxBytes bytes can be read.
  WordKey(const char* word, std::size_t length);
};

/// Which sums of scores before a word an entry holds for (see unigram_search.h): all that are near enough to zero, or
/// those of one binade, perhaps of one parity of the last bit.
struct SumClass {
  static constexpr std::uint8_t kAny = 2;
  std::uint8_t binade = 0;  ///< 0: all sums; else 1 + exponent.
  std::uint8_t parity = kAny;

  /// The binade and parity of a sum. REQUIRES: has_class(sum).
  static SumClass of(float sum);
  static bool has_class(float sum);
  /// Upper bound of |sum|. REQUIRES: binade != 0.
  float binade_end() const { return static_cast<float>(1ULL << (binade - 1) << 1); }
};

/// A cache of word segmentations with a fixed number of entries, one cache line each, two per bucket. Replaces entries
/// that were not reused first. Not thread-safe.
class WordCache {
 public:
  static constexpr std::size_t kMaxPieces = 8;
  struct alignas(64) Entry {
    std::array<std::uint64_t, 3> bytes;
    float largest_sum;    ///< The entry holds where |sum| is below.
    std::uint8_t length;  ///< 0: empty.
    std::uint8_t pieces : 7;
    std::uint8_t used : 1;  ///< Since it was last passed over for replacement.
    SumClass sums;
    std::array<std::int32_t, kMaxPieces> ids;
  };
  static_assert(sizeof(Entry) == 64);

  /// At most `bytes` of memory, used as words come; at least two entries.
  explicit WordCache(std::size_t bytes);

  void prefetch(const WordKey& key, SumClass sums) const {
    const Entry* entries = &entries_[bucket(hash_of(key, sums))];
    __builtin_prefetch(entries);
  }
  /// The entry for all sums; null: none.
  const Entry* find(const WordKey& key) { return find(key, {}); }
  /// The entry for the class of a sum.
  const Entry* find(const WordKey& key, SumClass sums);
  /// Room for a word that find() did not find, its key and class filled in. Valid until the next call.
  Entry& insert(const WordKey& key, SumClass sums);

  std::size_t bytes() const { return entries_.get_deleter().bytes; }

 private:
  std::size_t bucket(std::uint64_t hash) const { return hash & mask_; }
  static std::uint64_t hash_of(const WordKey& key, SumClass sums) {
    return key.hash + sums.binade * 0x9E3779B97F4A7C15ULL;
  }
  struct Unmap {
    std::size_t bytes;
    void operator()(Entry* entries) const;
  };

  std::size_t mask_;  ///< Of the first entry of a bucket.
  std::unique_ptr<Entry[], Unmap> entries_;
};

}  // namespace millrace
