#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// The numbers are sentencepiece_model.proto's.
enum class PieceType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

struct VocabularyPiece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::normal;
};

/// The contents of a SentencePiece .model file. Views point into its bytes.
struct VocabularyFile {
  std::vector<VocabularyPiece> pieces;
  std::string model_type = "unigram";
  std::string normalizer;          ///< "identity", "nmt_nfkc", ...
  std::string_view character_map;  ///< Compiled; empty: every character stands for itself.
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;
  bool split_digits = false;
  bool byte_fallback = false;
  std::string unknown_option;  ///< The first setting that this program does not know, in words; empty: it knows all.

  int count(PieceType type) const;
  /// The first piece of that type and, unless empty, that text; -1: there is none.
  int find(PieceType type, std::string_view text = {}) const;
  int unk() const { return find(PieceType::unknown); }
  int bos() const { return find(PieceType::control, bos_piece); }
  int eos() const { return find(PieceType::control, eos_piece); }
  int pad() const { return find(PieceType::control, pad_piece); }

  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  std::string pad_piece = "<pad>";
};

/// The bytes of a model file. Throws ConfigError if it cannot be read.
std::string read_vocabulary_bytes(const std::filesystem::path& path);
/// xxh3_64 as 16 hex digits.
std::string vocabulary_hash(std::string_view bytes);

/// Reads the model file's wire format (sentencepiece_model.proto is public). Empty if it is not a model file, or has no
/// pieces. The result's views point into `bytes`.
std::optional<VocabularyFile> read_vocabulary_file(std::string_view bytes);

}  // namespace millrace
