#include "stages/tokenizer/long_word_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "stages/tokenizer/word_cuts.h"

namespace millrace {
namespace {

constexpr float kNowhere = -std::numeric_limits<float>::infinity();
constexpr std::size_t kLongestCharacter = 4;

}  // namespace

LongWordSearch::LongWordSearch(const UnigramPieces& pieces) : pieces_(pieces) {
  const std::size_t longest = std::max(pieces.longest, kLongestCharacter);
  mask_ = std::bit_ceil(longest + 1) - 1;
  width_ = longest <= std::numeric_limits<std::uint8_t>::max() ? sizeof(std::uint8_t) : sizeof(std::uint32_t);
}

void LongWordSearch::search(std::string_view word, float& sum) {
  const std::size_t size = word.size();
  word_ = word;
  at_ = 0;
  sums_.assign(mask_ + 1, kNowhere);
  sums_[0] = sum;
  steps_.assign((size + 1) * width_, 0);
  for (std::size_t from = 0; from < size;) {
    const float so_far = sums_[from & mask_];
    const std::size_t length = std::min(character_length(static_cast<unsigned char>(word[from])), size - from);
    bool has_single = false;
    std::uint32_t base = PieceTrie::kRoot;
    for (std::size_t at = from; at < size;) {
      const auto byte = static_cast<unsigned char>(word[at]);
      const std::uint32_t index = pieces_.trie.child(base, byte);
      const PieceTrie::Unit& unit = pieces_.trie[index];
      if (PieceTrie::label_of(unit) != byte) break;
      ++at;
      base = PieceTrie::base_of(unit);
      if (std::isnan(unit.score)) continue;
      double score = unit.score;
      if (unit.score == PieceTrie::kUserDefined) score = pieces_.user_defined_scores.at(pieces_.trie.id(index));
      has_single = has_single || at - from == length;
      // The candidate is compared before it is rounded: libsentencepiece's expression has type double.
      const double candidate = score + static_cast<double>(so_far);
      float& best = sums_[at & mask_];
      if (!(candidate > static_cast<double>(best))) continue;
      best = static_cast<float>(candidate);
      set_step(at, static_cast<std::uint32_t>(at - from));
    }
    if (!has_single) {
      const float candidate = pieces_.unknown_score + so_far;
      float& best = sums_[(from + length) & mask_];
      if (candidate > best) {
        best = candidate;
        set_step(from + length, static_cast<std::uint32_t>(length));
      }
    }
    // These places are behind: their room in the ring is for places to come.
    for (const std::size_t end = from + length; from < end; ++from) sums_[from & mask_] = kNowhere;
  }
  sum = sums_[size & mask_];
  turn_steps();
}

/// Lengths stand at the ends of the best pieces; now they stand at their beginnings.
void LongWordSearch::turn_steps() {
  lost_ = 0;
  std::size_t at = word_.size();
  for (std::uint32_t length = at > 0 ? step_at(at) : 0; at > 0;) {
    if (length == 0) {
      lost_ = static_cast<std::uint32_t>(at);
      return;
    }
    const std::size_t from = at - length;
    const std::uint32_t before = from > 0 ? step_at(from) : 0;
    set_step(from, length);
    at = from;
    length = before;
  }
}

bool LongWordSearch::next(SearchedPiece& piece) {
  if (at_ == word_.size()) return false;
  const std::uint32_t length = at_ == 0 && lost_ > 0 ? lost_ : step_at(at_);
  piece = {SearchedPiece::kUnknown, length};
  std::uint32_t base = PieceTrie::kRoot;
  for (std::size_t i = 0; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(word_[at_ + i]);
    const std::uint32_t index = pieces_.trie.child(base, byte);
    const PieceTrie::Unit& unit = pieces_.trie[index];
    if (PieceTrie::label_of(unit) != byte) break;
    base = PieceTrie::base_of(unit);
    if (i + 1 == length && !std::isnan(unit.score)) piece.id = pieces_.trie.id(index);
  }
  at_ += length;
  return true;
}

void LongWordSearch::clear() {
  steps_ = {};
  word_ = {};
  at_ = 0;
}

std::uint32_t LongWordSearch::step_at(std::size_t at) const {
  if (width_ == 1) return steps_[at];
  std::uint32_t length = 0;
  std::memcpy(&length, &steps_[at * width_], sizeof(length));
  return length;
}

void LongWordSearch::set_step(std::size_t at, std::uint32_t length) {
  if (width_ == 1) {
    steps_[at] = static_cast<std::uint8_t>(length);
  } else {
    std::memcpy(&steps_[at * width_], &length, sizeof(length));
  }
}

}  // namespace millrace
