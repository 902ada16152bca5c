#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "stages/records.h"
#include "stages/tokenizer/long_word_search.h"
#include "stages/tokenizer/text_normalizer.h"
#include "stages/tokenizer/unigram_search.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "stages/tokenizer/word_cache.h"
#include "stages/tokenizer/word_cuts.h"

namespace millrace {

/// SentencePiece's unigram segmentation (Kudo, arXiv 1804.10959): of all ways to write a text as pieces the one whose
/// scores have the largest sum. The ids are exactly those of libsentencepiece 0.1.97, including ties and rounding.
/// Immutable; one object serves every thread, each with a Memory of its own.
class UnigramEncoder {
 public:
  /// Keeps views into the file's bytes, which must outlive it. REQUIRES: why_not(file) is empty.
  explicit UnigramEncoder(const VocabularyFile& file);

  /// Why this encoder does not support a vocabulary; empty: it does.
  static std::string why_not(const VocabularyFile& file);

  static constexpr std::size_t kCacheBytes = std::size_t{64} << 20;

  /// A thread's cache of words, and buffers. Changes no id.
  class Memory {
   public:
    explicit Memory(const UnigramEncoder& encoder, std::size_t cache_bytes = kCacheBytes);

   private:
    friend class UnigramEncoder;
    UnigramSearch search;
    LongWordSearch long_words;
    WordCache cache;
    std::string text;          ///< Normalized, and padded.
    std::vector<TokenId> ids;  ///< Of a part of the text.
  };

  /// Appends the ids of `text` to `ids`. A text of n bytes needs n bytes for its normal form, at most n for the search,
  /// and its ids.
  void encode(std::string_view text, Memory& memory, std::vector<TokenId>& ids) const;

  /// True if no word has a blank but at its beginning: then words are segmented alone, up to the running sum.
  bool words_end_at_blanks() const { return cuts_.words_end_at_blanks(); }

 private:
  struct Single {
    TokenId id = SearchedPiece::kUnknown;
    float score = 0;
    bool searched = false;  ///< Its score is no float: see UnigramPieces.
  };
  class Run;

  TextNormalizer normalizer_;
  UnigramPieces pieces_;
  WordCuts cuts_;
  std::array<Single, 128> singles_;         ///< Words of one ASCII character.
  std::array<TokenId, 256> byte_pieces_{};  ///< With byte fallback.
  bool byte_fallback_ = false;
  TokenId unknown_ = 0;
  std::size_t most_ids_a_byte_ = 1;
  bool may_be_invalid_ = false;
};

}  // namespace millrace
