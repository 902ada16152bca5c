#pragma once

#include <string>
#include <vector>

#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {

/// A SentencePiece model, built piece by piece.
struct ModelFile {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };
  std::vector<Piece> pieces;
  int model_type = 1;  ///< 1 unigram, 2 bpe.
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = false;
  bool escape_whitespaces = true;
  std::string character_map;
  int unknown_normalizer_field = 0;  ///< Above 0: a field of that number is written, too.

  /// <pad> </s> <s> <unk>, and the byte pieces if there is byte fallback.
  void add_special_pieces();
  /// In sentencepiece_model.proto's wire format.
  std::string bytes() const;
};

}  // namespace millrace
