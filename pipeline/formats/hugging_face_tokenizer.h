#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace millrace {

/// A vocabulary as Hugging Face's tokenizers and transformers open it (AutoTokenizer): Unigram with byte fallback.
///
/// Ids are those of Vocabulary but for texts with two segmentations of nearly equal scores: libsentencepiece adds
/// scores in f32, tokenizers in f64. Decoding is the same. Text never becomes a special piece or a sentinel (but see
/// within_reach), in transformers by "split_special_tokens"; nothing is put before or behind a text: OpenMoE's texts
/// begin with the id of "bos_token".
struct HuggingFaceTokenizer {
  std::string tokenizer;  ///< Of tokenizer.json
  std::string config;     ///< Of tokenizer_config.json
  /// Special pieces that text with their spelling becomes after all, since it has a character that is no piece.
  int within_reach = 0;
};

/// Why there is no such tokenizer of a vocabulary; empty: there is. Throws ConfigError if it is not a vocabulary.
std::string why_no_hugging_face_tokenizer(std::string_view model, const std::string& file);

/// `model` is a SentencePiece .model file's content; `file` names it in messages; `positions` is the longest text of
/// the model that goes with it, 0: not known. Throws ConfigError if it is not a vocabulary, or one that tokenizers
/// cannot express: not of type unigram, blanks not escaped, or at the ends of words.
HuggingFaceTokenizer hugging_face_tokenizer(std::string_view model, const std::string& file, int positions);

/// Writes tokenizer.json and tokenizer_config.json into a folder that is there. Throws std::system_error.
void write_hugging_face_tokenizer(const HuggingFaceTokenizer& tokenizer, const std::filesystem::path& folder);

}  // namespace millrace
