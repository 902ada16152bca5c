#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "stages/tokenizer/piece_trie.h"
#include "stages/tokenizer/text_normalizer.h"
#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {

/// The pieces of a unigram vocabulary with their scores, in the form that normalized text has. Immutable; any thread.
struct UnigramPieces {
  UnigramPieces(const VocabularyFile& file, const TextNormalizer& normalizer);

  PieceTrie trie;
  std::vector<float> scores;  ///< Per id.
  std::unordered_map<std::int32_t, double> user_defined_scores;
  float unknown_score = 0;
  std::size_t longest = 0;  ///< Bytes of the longest piece.
  bool all_scores_negative = true;
};

/// A piece of a segmentation: the `length` bytes behind the piece before it.
struct SearchedPiece {
  std::int32_t id = 0;  ///< kUnknown where no piece has the character.
  std::uint32_t length = 0;
  static constexpr std::int32_t kUnknown = -1;
};

/// Finds the best segmentation of a word in two ways: as if nothing came before it, with its margin over the second
/// best, and exactly as libsentencepiece does, given the f32 sum of the scores before the word. Not thread-safe: it
/// keeps its memory.
///
/// libsentencepiece 0.1.97 adds scores in f32 from the document's beginning, so that rounding decides between
/// segmentations whose scores are (nearly) equal. |sum| grows by some 10 a token; at |sum| = S each of a word's k or
/// fewer additions is off by at most S 2^-24, so that segmentations more than k S 2^-23 apart cannot change places.
class UnigramSearch {
 public:
  explicit UnigramSearch(const UnigramPieces& pieces) : pieces_(pieces) {}

  /// The best segmentation by real numbers, in pieces(). The result is `largest_sum`: it is libsentencepiece's wherever
  /// the sum before the word is nearer to 0 than this. Negative: never known to be. `word` may be read by the caller's
  /// padding only up to its end.
  float search(std::string_view word);

  /// libsentencepiece's own segmentation of what follows a sum of `sum`, in pieces(). Adds the word's scores to `sum`.
  void search_exactly(std::string_view word, float& sum);

  /// What search_exactly found holds for other sums in the same binade, too: down to -2^exponent..., see word_cache.h.
  struct Validity {
    bool translates = false;  ///< False: for this very sum only.
    bool any_parity = false;  ///< True: no sum was halfway between two floats.
    float largest_sum = 0;    ///< |sum| below which no addition leaves the binade.
  };
  const Validity& validity() const { return validity_; }

  const std::vector<SearchedPiece>& pieces() const { return found_; }
  bool has_unknown() const { return has_unknown_; }
  bool has_user_defined() const { return has_user_defined_; }

 private:
  struct Node {
    float score;
    float margin;  ///< To the second best way here.
    std::uint32_t from;
    std::uint32_t unit;  ///< Of the piece that ends here; 0: unknown.
  };
  float backtrack(std::string_view word);

  const UnigramPieces& pieces_;
  std::vector<Node> nodes_;
  std::vector<SearchedPiece> found_;
  Validity validity_;
  bool has_unknown_ = false;
  bool has_user_defined_ = false;
};

}  // namespace millrace
