#include "stages/tokenizer/word_cuts.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "stages/utf8.h"

namespace millrace {
namespace {

constexpr std::uint64_t kBitsPerPair = 24;

unsigned char lead(const char* at) {
  return static_cast<unsigned char>(*at);
}

/// A character's bytes as one number.
std::uint32_t character(const char* at, std::size_t length) {
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, at, sizeof(bytes));
  return bytes & static_cast<std::uint32_t>((1ULL << (8 * length)) - 1);
}

}  // namespace

WordCuts::WordCuts(const std::vector<std::string_view>& pieces) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  for (const std::string_view piece : pieces) {
    std::array<char, 8> padded{};
    std::uint32_t left = 0;
    for (std::size_t i = 0; i < piece.size();) {
      const std::size_t length = std::min(character_length(lead(&piece[i])), piece.size() - i);
      std::copy_n(&piece[i], length, padded.begin());
      const std::uint32_t right = character(padded.data(), length);
      if (i > 0 && left < kAscii && right < kAscii) ascii_[left][right / 64] |= 1ULL << (right % 64);
      if (i > 0 && (left >= kAscii || right >= kAscii)) pairs.emplace_back(left, right);
      if (i > 0 && right == ' ') words_end_at_blanks_ = false;
      left = right;
      i += length;
    }
  }
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  const std::uint64_t bits = std::bit_ceil(std::max<std::uint64_t>(1024, kBitsPerPair * pairs.size()));
  shift_ = 64 - std::countr_zero(bits);
  others_.resize(bits / 64);
  for (const auto& [left, right] : pairs) {
    const std::uint64_t hash = (left * 0x9E3779B97F4A7C15ULL + right) * 0xD6E8FEB86659FD93ULL;
    others_[hash >> shift_ >> 6] |= 1ULL << (hash >> shift_ & 63U);
  }
}

const char* WordCuts::word_end(const char* begin, const char* end) const {
  const char* at = begin;
  while (true) {
    std::uint32_t left = lead(at);
    std::size_t length = 1;
    if (left < kAscii) {
      // The common case: letters of one word.
      while (++at < end && lead(at) < kAscii) {
        const std::uint32_t right = lead(at);
        if ((ascii_[left][right / 64] >> (right % 64) & 1U) == 0) return at;
        left = right;
      }
    } else {
      length = character_length(lead(at));
      left = character(at, length);
      at += length;
    }
    if (at >= end) return end;
    if (!joined(left, character(at, character_length(lead(at))))) return at;
  }
}

}  // namespace millrace
