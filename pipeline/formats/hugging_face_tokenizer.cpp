#include "pipeline/formats/hugging_face_tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/tokenizer/text_normalizer.h"
#include "stages/tokenizer/unigram_search.h"
#include "stages/tokenizer/vocabulary.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "stages/tokenizer/word_cuts.h"

namespace millrace {
namespace {

bool is_reached_by_text(const VocabularyPiece& piece) {
  return piece.type == PieceType::normal || piece.type == PieceType::user_defined;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t three = 0;
    for (std::size_t i = 0; i < 3; ++i)
      three = three << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    for (std::size_t digit = 0; digit < 4; ++digit)
      text += at + digit > bytes.size() ? '=' : kDigits[three >> (18 - 6 * digit) & 63];
  }
  return text;
}

Json normalizer_of(const VocabularyFile& file) {
  Json steps = Json::array();
  if (!file.character_map.empty())
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(file.character_map)}});
  if (file.remove_extra_whitespaces) {
    steps.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  }
  if (file.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kBlankMark}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kBlankMark}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json decoder_of(const VocabularyFile& file) {
  Json steps = Json::array();
  if (file.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", kBlankMark}}}, {"content", " "}});
  if (file.add_dummy_prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json special(int id, std::string_view text) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

/// Control pieces, the unknown piece, and the sentinels behind all pieces.
Json special_tokens(const VocabularyFile& file) {
  Json tokens = Json::array();
  const auto pieces = static_cast<int>(file.pieces.size());
  for (int id = 0; id < pieces; ++id) {
    const VocabularyPiece& piece = file.pieces[static_cast<std::size_t>(id)];
    if (piece.type == PieceType::control || piece.type == PieceType::unknown) tokens.push_back(special(id, piece.text));
  }
  for (int j = Vocabulary::kExtraIds - 1; j >= 0; --j)
    tokens.push_back(special(pieces + Vocabulary::kExtraIds - 1 - j, fmt::format("<extra_id_{}>", j)));
  return tokens;
}

/// The scores that make tokenizers' search choose as libsentencepiece's does. Pieces that no text becomes stand in its
/// dictionary like all others: theirs is below every other way to write their text.
std::vector<double> scores_of(const VocabularyFile& file) {
  const TextNormalizer normalizer(file);
  const UnigramPieces pieces(file, normalizer);
  std::size_t longest = 0;
  for (const VocabularyPiece& piece : file.pieces)
    if (!is_reached_by_text(piece)) longest = std::max(longest, piece.text.size());
  const double out_of_reach =
      static_cast<double>(longest + 1) * std::min(static_cast<double>(pieces.unknown_score), -1.0);
  std::vector<double> scores;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const VocabularyPiece& piece = file.pieces[id];
    if (piece.type == PieceType::user_defined) {
      scores.push_back(pieces.user_defined_scores.at(static_cast<std::int32_t>(id)));
    } else {
      scores.push_back(piece.type == PieceType::normal ? static_cast<double>(piece.score) : out_of_reach);
    }
  }
  return scores;
}

/// Special pieces with a character that is no piece by itself: the unknown piece's score is below theirs.
int within_reach(const VocabularyFile& file) {
  std::set<std::string_view> pieces;
  for (const VocabularyPiece& piece : file.pieces)
    if (is_reached_by_text(piece)) pieces.insert(piece.text);
  return static_cast<int>(std::ranges::count_if(file.pieces, [&](const VocabularyPiece& piece) {
    if (is_reached_by_text(piece)) return false;
    for (std::size_t at = 0, length = 0; at < piece.text.size(); at += length) {
      length = character_length(static_cast<unsigned char>(piece.text[at]));
      if (!pieces.contains(piece.text.substr(at, length))) return true;
    }
    return false;
  }));
}

/// The model, a line a piece.
std::string model_of(const VocabularyFile& file) {
  std::string text =
      fmt::format(R"({{"type":"Unigram","unk_id":{},"byte_fallback":{},"vocab":[)", file.unk(), file.byte_fallback);
  const std::vector<double> scores = scores_of(file);
  for (std::size_t id = 0; id < file.pieces.size(); ++id)
    text += fmt::format("{}\n[{},{}]", id == 0 ? "" : ",", json_line(Json(file.pieces[id].text)), scores[id]);
  return text + "\n]}";
}

VocabularyFile read(std::string_view model, const std::string& file) {
  std::optional<VocabularyFile> vocabulary = read_vocabulary_file(model);
  if (!vocabulary) throw ConfigError(file + ": not a SentencePiece .model file");
  return *std::move(vocabulary);
}

std::string why_not(const VocabularyFile& file) {
  if (file.model_type != "unigram") return fmt::format("it is of type {}, not unigram", file.model_type);
  if (!file.escape_whitespaces) return "its blanks are not escaped";
  if (file.whitespace_as_suffix) return "its blanks stand at the ends of words";
  if (!file.unknown_option.empty()) return "it has a setting that is not known: " + file.unknown_option;
  return {};
}

}  // namespace

std::string why_no_hugging_face_tokenizer(std::string_view model, const std::string& file) {
  return why_not(read(model, file));
}

HuggingFaceTokenizer hugging_face_tokenizer(std::string_view model, const std::string& file, int positions) {
  const VocabularyFile vocabulary = read(model, file);
  if (const std::string why = why_not(vocabulary); !why.empty())
    throw ConfigError(fmt::format("{}: a tokenizer.json cannot be made of this vocabulary: {}", file, why));
  const Json head{{"version", "1.0"},
                  {"truncation", nullptr},
                  {"padding", nullptr},
                  {"added_tokens", special_tokens(vocabulary)},
                  {"normalizer", normalizer_of(vocabulary)},
                  {"pre_tokenizer", nullptr},
                  {"post_processor", nullptr},
                  {"decoder", decoder_of(vocabulary)}};
  HuggingFaceTokenizer tokenizer;
  tokenizer.tokenizer = json_line(head);
  tokenizer.tokenizer.pop_back();
  tokenizer.tokenizer += ",\n\"model\":" + model_of(vocabulary) + "}\n";
  const auto piece = [&vocabulary](int id) { return vocabulary.pieces[static_cast<std::size_t>(id)].text; };
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"pad_token", piece(vocabulary.pad())},
              {"bos_token", piece(vocabulary.pad())},
              {"eos_token", piece(vocabulary.eos())},
              {"unk_token", piece(vocabulary.unk())},
              {"clean_up_tokenization_spaces", false},
              {"split_special_tokens", true}};
  if (positions > 0) config["model_max_length"] = positions;
  tokenizer.config = json_page(config);
  tokenizer.within_reach = within_reach(vocabulary);
  return tokenizer;
}

void write_hugging_face_tokenizer(const HuggingFaceTokenizer& tokenizer, const std::filesystem::path& folder) {
  write_file_atomically(folder / "tokenizer.json", tokenizer.tokenizer);
  write_file_atomically(folder / "tokenizer_config.json", tokenizer.config);
}

}  // namespace millrace
