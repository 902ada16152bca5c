#include "stages/tokenizer/word_cache.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

#include <sys/mman.h>

namespace millrace {
namespace {

constexpr int kExponentBias = 127;
constexpr int kMantissaBits = 23;
constexpr int kBinades = 62;

__extension__ using Wide = unsigned __int128;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Masks that keep the first n of 24 bytes.
constexpr auto kMasks = [] {
  std::array<std::array<std::uint64_t, 3>, WordKey::kMaxBytes + 1> masks{};
  for (std::size_t n = 0; n <= WordKey::kMaxBytes; ++n) {
    for (std::size_t i = 0; i < n; ++i) masks[n][i / 8] |= 0xFFULL << (8 * (i % 8));
  }
  return masks;
}();

std::size_t entries_in(std::size_t bytes) {
  return std::bit_floor(std::max<std::size_t>(bytes / sizeof(WordCache::Entry), 2));
}

int exponent_of(float sum) {
  return static_cast<int>(std::bit_cast<std::uint32_t>(sum) >> kMantissaBits & 0xFFU) - kExponentBias;
}

}  // namespace

WordKey::WordKey(const char* word, std::size_t word_length) : length(static_cast<std::uint32_t>(word_length)) {
  std::memcpy(bytes.data(), word, sizeof(bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] &= kMasks[length][i];
  // Odd constants of random bits; they only have to differ.
  hash = fold(bytes[0] ^ 0x9E3779B97F4A7C15ULL, bytes[1] ^ 0xD6E8FEB86659FD93ULL) ^
         fold(bytes[2] ^ 0xA0761D6478BD642FULL, length ^ 0xE7037ED1A0B428DBULL);
}

bool SumClass::has_class(float sum) {
  return exponent_of(sum) >= 0 && exponent_of(sum) < kBinades;
}

SumClass SumClass::of(float sum) {
  return {static_cast<std::uint8_t>(1 + exponent_of(sum)),
          static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(sum) & 1U)};
}

WordCache::WordCache(std::size_t bytes) : mask_((entries_in(bytes) - 1) & ~std::size_t{1}) {
  const std::size_t size = entries_in(bytes) * sizeof(Entry);
  // Zero pages that cost nothing before they are used; large ones, since every access is at random.
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "memory for a word cache");
  (void)madvise(memory, size, MADV_HUGEPAGE);
  entries_ = {static_cast<Entry*>(memory), Unmap{size}};
}

void WordCache::Unmap::operator()(Entry* entries) const {
  munmap(entries, bytes);
}

const WordCache::Entry* WordCache::find(const WordKey& key, SumClass sums) {
  Entry* entries = &entries_[bucket(hash_of(key, sums))];
  for (std::size_t i = 0; i < 2; ++i) {
    Entry& entry = entries[i];
    if (entry.bytes != key.bytes || entry.length != key.length || entry.sums.binade != sums.binade) continue;
    if (entry.sums.parity != SumClass::kAny && entry.sums.parity != sums.parity) continue;
    if (entry.used == 0) entry.used = 1;
    return &entry;
  }
  return nullptr;
}

WordCache::Entry& WordCache::insert(const WordKey& key, SumClass sums) {
  Entry* entries = &entries_[bucket(hash_of(key, sums))];
  std::size_t place = 0;
  if (entries[0].length != 0) place = entries[1].length == 0 || entries[0].used != 0 ? 1 : 0;
  if (entries[0].used != 0 && entries[1].used != 0) place = key.hash >> 63;
  if (entries[place].length != 0) entries[0].used = entries[1].used = 0;
  Entry& entry = entries[place];
  entry.bytes = key.bytes;
  entry.length = static_cast<std::uint8_t>(key.length);
  entry.sums = sums;
  entry.used = 0;
  return entry;
}

}  // namespace millrace
