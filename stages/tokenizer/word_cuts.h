#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace millrace {

/// Bytes of the character that begins with `lead`, by the lead byte alone, as SentencePiece counts them.
inline std::size_t character_length(unsigned char lead) {
  return std::array<std::uint8_t, 16>{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4}[lead >> 4];
}

/// Where text can be cut: between two characters that are adjacent in no piece. Every segmentation has a boundary
/// there, so that what lies between two cuts (a "word") is segmented alone, given the sum of scores so far. Immutable;
/// one object serves every thread.
class WordCuts {
 public:
  /// Pieces in normalized form, each valid UTF-8.
  explicit WordCuts(const std::vector<std::string_view>& pieces);

  /// The end of the word that begins at `begin`. Reads up to 3 bytes behind `end`. REQUIRES: begin < end; the text is
  /// valid UTF-8.
  const char* word_end(const char* begin, const char* end) const;

  /// True if no word has a blank anywhere but at its beginning.
  bool words_end_at_blanks() const { return words_end_at_blanks_; }

 private:
  bool joined(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t hash = (left * 0x9E3779B97F4A7C15ULL + right) * 0xD6E8FEB86659FD93ULL;
    return (others_[hash >> shift_ >> 6] >> (hash >> shift_ & 63U) & 1U) != 0;
  }

  std::array<std::array<std::uint64_t, 2>, 128> ascii_{};  ///< Bit r of [l]: l and r stand side by side in a piece.
  std::vector<std::uint64_t> others_;  ///< The same for other pairs, hashed: a collision only loses a cut.
  int shift_ = 0;
  bool words_end_at_blanks_ = true;
};

}  // namespace millrace
