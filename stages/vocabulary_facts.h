#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

/// What a SentencePiece model says of itself beside its pieces.
struct VocabularyFacts {
  int pieces = 0;
  std::array<int, 7> of_type{};  ///< Indexed by sentencepiece's types: 1 normal ... 6 byte; 0 is not used.
  std::string model_type = "unigram";
  std::string normalizer;  ///< "identity", "nmt_nfkc", ...
  std::size_t character_map_bytes = 0;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  int unk = 0;  ///< Ids of the special pieces, -1 where there is none.
  int bos = 1;
  int eos = 2;
  int pad = -1;
  bool split_digits = false;
  bool byte_fallback = false;
};

/// True if `bytes` have the shape of a model file with at least one piece.
bool is_vocabulary(std::string_view bytes);

/// Reads the model file's wire format (sentencepiece_model.proto is public). REQUIRES: is_vocabulary(bytes).
VocabularyFacts facts_of(std::string_view bytes);

}  // namespace millrace
