#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "stages/tokenizer/unigram_search.h"

namespace millrace {

/// The segmentation that UnigramSearch::search_exactly finds, of words of any length: a word of n bytes takes n bytes
/// of memory, where UnigramSearch takes sixteen per byte. Not thread-safe: it keeps its memory until clear().
class LongWordSearch {
 public:
  explicit LongWordSearch(const UnigramPieces& pieces);

  /// Searches, given the sum of the scores before the word, and adds the word's scores to `sum`. next() then returns
  /// the pieces in order. `word` must stay valid until then.
  void search(std::string_view word, float& sum);
  /// The next piece; false at the end of the word.
  bool next(SearchedPiece& piece);
  void clear();

 private:
  std::uint32_t step_at(std::size_t at) const;
  void set_step(std::size_t at, std::uint32_t length);
  void turn_steps();

  const UnigramPieces& pieces_;
  std::size_t mask_;         ///< Of the ring of sums: its size less 1.
  std::size_t width_;        ///< Bytes a step takes.
  std::vector<float> sums_;  ///< Ring: the best sum up to the next places, as many as the longest piece reaches.
  std::vector<std::uint8_t> steps_;  ///< Length of the piece that ends at each position (begins, once turned).
  std::string_view word_;
  std::size_t at_ = 0;
  std::uint32_t lost_ = 0;  ///< Position from which on no sum is a number: everything before it is one unknown piece.
};

}  // namespace millrace
