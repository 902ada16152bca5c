#include "cli/views/vocabulary_view.h"

#include <array>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/console/results.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/tokenizer/unigram_encoder.h"
#include "stages/tokenizer/vocabulary.h"
#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {
namespace {

constexpr std::array kUmT5Begins{"<pad>",  "</s>",        "<s>",     "<unk>",   "[eod]", "[web]",
                                 "[wiki]", "[translate]", "[convo]", "[fc]",    "[ffc]", "[code]",
                                 "[book]", "[c4]",        "[news]",  "[forum]", "[eot]"};
constexpr int kUmT5Pieces = 256000;
constexpr int kUmT5Normal = 255727;
constexpr int kUmT5UserDefined = 13;
constexpr int kBytes = 256;

/// How a vocabulary differs from umT5's (google/umt5-*, spiece.model).
std::vector<std::string> departures_from_umt5(const VocabularyFile& file) {
  std::vector<std::string> departures;
  const auto want = [&](bool holds, const std::string& otherwise) {
    if (!holds) departures.push_back(otherwise);
  };
  const auto count = static_cast<int>(file.pieces.size());
  want(file.model_type == "unigram", "it is of type " + file.model_type);
  want(count == kUmT5Pieces, fmt::format("{} pieces instead of {}", count, kUmT5Pieces));
  if (count == kUmT5Pieces) {
    want(file.count(PieceType::normal) == kUmT5Normal && file.count(PieceType::user_defined) == kUmT5UserDefined,
         "other counts of normal and user-defined pieces");
  }
  want(file.normalizer == "identity" && file.character_map.empty(), "a normalizer that is not identity");
  want(file.add_dummy_prefix, "no dummy prefix");
  want(!file.remove_extra_whitespaces, "extra blanks are removed");
  want(file.byte_fallback && file.count(PieceType::byte) == kBytes, "no byte fallback");
  for (std::size_t id = 0; id < kUmT5Begins.size() && id < file.pieces.size(); ++id) {
    if (file.pieces[id].text == kUmT5Begins[id]) continue;
    departures.push_back(fmt::format("id {} is {} instead of {}", id, file.pieces[id].text, kUmT5Begins[id]));
    break;
  }
  const std::size_t first_byte = kUmT5Begins.size();
  want(file.pieces.size() > first_byte && file.pieces[first_byte].text == "<0x00>", "the bytes do not begin at id 17");
  return departures;
}

Json identity_of(const VocabularyFile& file, std::string_view bytes, const std::string& hash) {
  const int count = static_cast<int>(file.pieces.size());
  const int size = count + Vocabulary::kExtraIds;
  const std::string why_not = UnigramEncoder::why_not(file);
  Json facts;
  facts["kind"] = file.model_type;
  facts["pieces"] = count;
  facts["of_type"] = {
      {"normal", file.count(PieceType::normal)},   {"unknown", file.count(PieceType::unknown)},
      {"control", file.count(PieceType::control)}, {"user_defined", file.count(PieceType::user_defined)},
      {"unused", file.count(PieceType::unused)},   {"byte", file.count(PieceType::byte)}};
  facts["with_sentinels"] = size;
  facts["first_sentinel"] = size - 1;
  facts["last_sentinel"] = count;
  facts["embedding_rows"] = (size + 127) / 128 * 128;
  facts["special_ids"] = {{"pad", file.pad()}, {"eos", file.eos()}, {"bos", file.bos()}, {"unk", file.unk()}};
  facts["normalizer"] = file.normalizer;
  facts["character_map_bytes"] = file.character_map.size();
  facts["add_dummy_prefix"] = file.add_dummy_prefix;
  facts["remove_extra_whitespaces"] = file.remove_extra_whitespaces;
  facts["escape_whitespaces"] = file.escape_whitespaces;
  facts["split_digits"] = file.split_digits;
  facts["byte_fallback"] = file.byte_fallback;
  facts["slow_because"] = why_not;
  facts["ids_as"] = ids_as(why_not);
  if (why_not.empty()) {
    facts["words_independent"] = UnigramEncoder(file).words_end_at_blanks();
  } else {
    facts["words_independent"] = nullptr;
  }
  facts["departures_from_umt5"] = departures_from_umt5(file);
  facts["bytes"] = bytes.size();
  facts["xxh3"] = hash;
  return facts;
}

std::string text_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.get<int>() < 0 ? "none" : json_line(value);
  return json_line(value);
}

void print_table(const Json& facts) {
  const auto line = [](std::string_view name, const std::string& value) {
    print_results(fmt::format("{:<25} {}\n", name, value));
  };
  std::vector<std::string> types;
  for (const auto& [type, count] : facts["of_type"].items())
    types.push_back(fmt::format("{} {}", type, text_of(count)));
  line("kind", text_of(facts["kind"]));
  line("pieces", fmt::format("{} ({})", text_of(facts["pieces"]), fmt::join(types, ", ")));
  line("with sentinels",
       fmt::format("{} (<extra_id_0> = {}, <extra_id_{}> = {})", text_of(facts["with_sentinels"]),
                   text_of(facts["first_sentinel"]), Vocabulary::kExtraIds - 1, text_of(facts["last_sentinel"])));
  line("embedding rows", text_of(facts["embedding_rows"]));
  const auto& special = facts["special_ids"];
  line("pad, eos, bos, unk", fmt::format("{}, {}, {}, {}", text_of(special["pad"]), text_of(special["eos"]),
                                         text_of(special["bos"]), text_of(special["unk"])));
  const std::string normalizer = text_of(facts["normalizer"]);
  line("normalizer", fmt::format("{} ({} bytes of character map)", normalizer.empty() ? "unnamed" : normalizer,
                                 text_of(facts["character_map_bytes"])));
  for (const char* flag :
       {"add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces", "split_digits", "byte_fallback"}) {
    line(flag, text_of(facts[flag]));
  }
  const std::string slow = text_of(facts["slow_because"]);
  line("encoder", slow.empty() ? "Millrace's own" : "libsentencepiece, slower: " + slow);
  line("ids as", text_of(facts["ids_as"]));
  if (slow.empty()) {
    line("words independent",
         facts["words_independent"].get<bool>() ? "yes: no piece crosses a blank" : "no: some pieces cross a blank");
  }
  const auto departures = facts["departures_from_umt5"].get<std::vector<std::string>>();
  line("umT5's known shape", departures.empty() ? "yes" : fmt::format("no: {}", fmt::join(departures, "; ")));
  line("xxh3", text_of(facts["xxh3"]));
}

}  // namespace

void show_vocabulary(const std::string& file, bool json) {
  const std::string bytes = read_vocabulary_bytes(file);
  const auto vocabulary = read_vocabulary_file(bytes);
  if (!vocabulary) throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model", file));
  const Json facts = identity_of(*vocabulary, bytes, vocabulary_hash(bytes));
  if (json) {
    print_results(json_line(facts) + "\n");
    return;
  }
  print_table(facts);
  if (vocabulary->pad() < 0 || vocabulary->eos() < 0)
    print_results(fmt::format("It has no {}: no rows can be made with it.\n", vocabulary->pad() < 0 ? "pad" : "eos"));
}

}  // namespace millrace
