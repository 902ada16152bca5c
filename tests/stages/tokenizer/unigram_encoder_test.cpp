#include "stages/tokenizer/unigram_encoder.h"

#include <array>
#include <fstream>
#include <iterator>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/listing/shard_list.h"
#include "stages/philox.h"
#include "stages/shards/shard_to_records.h"
#include "tests/property.h"
#include "tests/stages/shared_data.h"
#include "tests/stages/tokenizer/random_model.h"
#include "tests/stages/tokenizer/unigram_peer.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A vocabulary over the letters a and b and the dash with many ties between pieces.
ModelFile tying_model() {
  ModelFile model;
  model.byte_fallback = true;
  model.add_special_pieces();
  for (const auto& [text, score] : std::map<std::string, float>{{"\xE2\x96\x81", -3.1F},
                                                                {"-", -5.37F},
                                                                {"--", -6.11F},
                                                                {"----", -7.93F},
                                                                {"--------", -9.71F},
                                                                {"----------------", -10.13F},
                                                                {"a", -4.2F},
                                                                {"b", -4.3F},
                                                                {"ab", -6.6F},
                                                                {"ba", -6.6F},
                                                                {"\xE2\x96\x81"
                                                                 "ab",
                                                                 -7.7F}})
    model.pieces.push_back({text, score, PieceType::normal});
  return model;
}

void expect_the_same(UnigramPeer& peer, const std::string& text) {
  EXPECT_EQ(peer.ours(text), peer.theirs(text)) << text.size() << " bytes: " << text.substr(0, 200);
}

void random_models_agree(int cases) {
  expect_holds(cases, [](std::uint64_t seed, bool small_cache) {
    ItemRng rng(seed, Purpose::generation, 0);
    const auto draw = [&rng](std::uint64_t below) { return static_cast<std::size_t>(rng.below(below)); };
    UnigramPeer peer(random_model(draw).bytes(), small_cache ? 1024 : std::size_t{1} << 20);
    for (int text = 0; text < 6; ++text) {
      const std::string random = random_text(draw);
      RC_ASSERT(peer.ours(random) == peer.theirs(random));
    }
  });
}

TEST(UnigramEncoder, IsComparedWithALibraryThatBreaksTiesAsItDoes) {
  const std::string version = MILLRACE_SENTENCEPIECE_VERSION;
  EXPECT_THAT((std::array{"0.1.97", "0.1.98", "0.1.99", "0.2.0", "0.2.1"}), testing::Contains(version))
      << "from 0.2.2 on libsentencepiece breaks ties otherwise: the tests below want one of these";
}

TEST(UnigramEncoder, AgreesWithLibsentencepieceOnRandomModelsAndTexts) {
  random_models_agree(2000);
}

TEST(UnigramEncoder, AgreesWithLibsentencepieceOnRandomModelsAndTextsLong) {
  random_models_agree(50000);
}

TEST(UnigramEncoder, BreaksTiesAsTheSumSoFarRoundsThem) {
  UnigramPeer peer(tying_model().bytes());
  for (int before = 0; before < 400; before += 7) {
    std::string text;
    for (int word = 0; word < before; ++word) text += word % 3 == 0 ? "ab " : "ba ";
    for (int dashes = 1; dashes < 80; dashes += 3) text += std::string(static_cast<std::size_t>(dashes), '-') + " ";
    expect_the_same(peer, text);
  }
}

TEST(UnigramEncoder, FollowsTheSumThroughItsBinades) {
  UnigramPeer peer(tying_model().bytes());
  std::string text;
  for (std::size_t word = 0; word < 300000; ++word) text += std::string(1 + word % 41, "-ab"[word % 3]) + " ";
  expect_the_same(peer, text);  // The sum reaches about -10^7, where neighbouring floats are 1 apart.
  expect_the_same(peer, text);  // Now from the cache.
}

TEST(UnigramEncoder, GivesTheSameWhateverItHasSeen) {
  UnigramPeer fresh(tying_model().bytes());
  const std::string text = "abba ab -------- ba" + std::string(50, '-');
  const std::vector<TokenId> first = fresh.ours(text);
  for (std::size_t n = 0; n < 2000; ++n) (void)fresh.ours(std::string(n % 200, '-') + " ab" + std::string(n % 30, 'b'));
  EXPECT_EQ(fresh.ours(text), first);
}

TEST(UnigramEncoder, ReplacesInvalidUtf8ByteByByte) {
  ModelFile model = tying_model();
  model.pieces.push_back({"\xEF\xBF\xBD", -8, PieceType::normal});
  UnigramPeer peer(model.bytes());
  for (const char* text : {"\xFF", "a\xC3", "\xE2\x82", "\xE2\x96 a", "\xED\xA0\x80", "\xC0\x80", "\xF0\x80\x80\x80",
                           "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "a\x80\x80z", "\xEF\xBF\xBD"})
    expect_the_same(peer, text);
}

TEST(UnigramEncoder, TakesNulAndMarksForWhatTheyAre) {
  UnigramPeer peer(tying_model().bytes());
  using namespace std::string_literals;
  for (const std::string& text : {""s, "\0"s, "a\0b"s, "\xE2\x96\x81"s, "a\xE2\x96\x81 b"s, "\n\n\t\t \n"s, "   "s})
    expect_the_same(peer, text);
}

/// Vocabularies with real character maps, trained on the spot.
TEST(UnigramEncoder, AppliesTheCharacterMapOfTheFile) {
  const TemporaryFolder folder;
  write_tiny_model(folder.path() / "nfkc.model", "nmt_nfkc_cf");
  const std::string trained = read_file(folder.path() / "nfkc.model");
  const std::string character_map(read_vocabulary_file(trained).value().character_map);
  ASSERT_GT(character_map.size(), 100000U);
  for (const bool remove : {false, true}) {
    ModelFile model = tying_model();
    model.character_map = character_map;
    model.remove_extra_whitespaces = remove;
    model.pieces.push_back({"[code]", 0, PieceType::user_defined});
    model.pieces.push_back({"\xC3\xA9", -9, PieceType::normal});
    UnigramPeer peer(model.bytes());
    for (const char* text : {"ABBA", "A\xCC\x8A", "e\xCC\x81", "\xEF\xBC\xA1\xEF\xBC\xA2", "\xEF\xAC\x81",
                             " \t ab \r\n ba  ", "[code] [CODE]",
                             "\xE3\x80\x80"
                             "ab\xE3\x80\x80",
                             "\xC2\xAD",
                             "\xE2\x80\x8B"
                             "ab",
                             "a\xFF"
                             "b",
                             "\xE3\x83\x91\xE3\x83\x8F\xE3\x82\x9A"})
      expect_the_same(peer, text);
  }
}

TEST(UnigramEncoder, KnowsWhetherWordsAreIndependent) {
  UnigramPeer words(tying_model().bytes());
  EXPECT_TRUE(words.encoder().words_end_at_blanks());
  ModelFile crossing = tying_model();
  crossing.pieces.push_back(
      {"a\xE2\x96\x81"
       "b",
       -2, PieceType::normal});
  UnigramPeer across(crossing.bytes());
  EXPECT_FALSE(across.encoder().words_end_at_blanks());
  expect_the_same(across, "ba ba ab a b a b ");
}

TEST(UnigramEncoder, RefusesWhatItDoesNotKnow) {
  const auto why_not = [](const ModelFile& model) {
    const std::string bytes = model.bytes();
    return UnigramEncoder::why_not(read_vocabulary_file(bytes).value());
  };
  EXPECT_EQ(why_not(tying_model()), "");
  ModelFile bpe = tying_model();
  bpe.model_type = 2;
  EXPECT_EQ(why_not(bpe), "it is of type bpe, not unigram");
  ModelFile newer = tying_model();
  newer.unknown_normalizer_field = 9;
  EXPECT_NE(why_not(newer).find("field 9 of its normalizer spec"), std::string::npos);
  ModelFile twice = tying_model();
  twice.pieces.push_back({"ab", -1, PieceType::normal});
  EXPECT_NE(why_not(twice).find("stands there twice"), std::string::npos);
}

/// Every `step`-th document of the shared shards, with every shared vocabulary.
void shared_documents_agree(std::size_t step) {
  const fs::path shared = shared_folder();
  MILLRACE_SKIP_WITHOUT(shared / "tokenizers");
  std::vector<std::string> documents;
  std::size_t number = 0;
  for (const std::string& shard :
       list_shards({(shared / "data/redpajama").string(), (shared / "data/the_stack").string()}, "").names) {
    const auto reader = open_shard(shard, {detect_layout(shard)});
    for (Record record; reader->next(record);) {
      auto* document = std::get_if<Document>(&record);
      if (document != nullptr && number++ % step == 0) documents.push_back(std::move(document->text));
    }
  }
  ASSERT_GT(documents.size(), 100U);
  int models = 0;
  for (const auto& entry : fs::recursive_directory_iterator(shared / "tokenizers")) {
    if (entry.path().extension() != ".model") continue;
    UnigramPeer peer(read_file(entry.path()));
    std::size_t differences = 0;
    for (const std::string& document : documents) differences += peer.ours(document) == peer.theirs(document) ? 0 : 1;
    EXPECT_EQ(differences, 0U) << entry.path().filename();
    ++models;
  }
  EXPECT_GE(models, 6);
}

TEST(UnigramEncoder, AgreesOnRealDocumentsWithRealVocabularies) {
  shared_documents_agree(150);
}

TEST(UnigramEncoder, AgreesOnEveryRealDocumentWithRealVocabulariesLong) {
  shared_documents_agree(1);
}

TEST(UnigramEncoder, AgreesOnADocumentOfSixteenMegabytesLong) {
  const fs::path shared = shared_folder();
  MILLRACE_SKIP_WITHOUT(shared / "tokenizers");
  std::string text;
  const auto reader =
      open_shard((shared / "data/redpajama/c4/c4-train.00000-of-01024.jsonl").string(), {layout_named("redpajama")});
  for (Record record; text.size() < (std::size_t{16} << 20);) {
    if (!reader->next(record)) {
      text += text;
    } else if (const auto* document = std::get_if<Document>(&record)) {
      text += document->text;
    }
  }
  for (const char* model : {"standin/standin256k.model", "t5/t5-32000.spiece.model"}) {
    UnigramPeer peer(read_file(shared / "tokenizers" / model));
    EXPECT_EQ(peer.ours(text), peer.theirs(text)) << model;
  }
}

}  // namespace
}  // namespace millrace
