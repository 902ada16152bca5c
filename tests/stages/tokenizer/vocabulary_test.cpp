#include "stages/tokenizer/vocabulary.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "stages/tokenizer/vocabulary_training.h"
#include "tests/stages/shards/shard_fixture.h"
#include "tests/stages/shared_data.h"
#include "tests/stages/tokenizer/model_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Lines with enough distinct words to train 600 pieces.
std::vector<std::string> small_text() {
  const std::vector<std::string> parts = {"ba",  "do",   "ki",   "lu",  "mer", "nos",
                                          "pat", "quin", "rost", "sel", "tum", "vor"};
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 4000; ++i) {
    std::string line = i % 5 == 0 ? "    " : "";
    for (std::size_t j = 1; j < 6; ++j) {
      line += parts[(i * j) % 12] + parts[(i / 12 + j) % 12] + parts[(i / 144 + i * j) % 12] + " ";
    }
    lines.push_back(line + std::to_string(i));
  }
  return lines;
}

class SmallVocabulary : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { model_ = train_vocabulary(small_text(), 600); }
  SmallVocabulary() : vocabulary_(folder_.write("small.model", model_)) {}
  std::string back(const std::string& text) const { return vocabulary_.decode(vocabulary_.encode(text)); }

  static inline std::string model_;
  TemporaryFolder folder_;
  Vocabulary vocabulary_;
};

TEST_F(SmallVocabulary, IsShapedLikeTheOneOfUmT5) {
  EXPECT_EQ(vocabulary_.pieces(), 600);
  EXPECT_EQ(vocabulary_.pad(), 0);
  EXPECT_EQ(vocabulary_.eos(), 1);
  const std::vector<std::string> first = {"<pad>",  "</s>",        "<s>",     "<unk>",   "[eod]", "[web]",
                                          "[wiki]", "[translate]", "[convo]", "[fc]",    "[ffc]", "[code]",
                                          "[book]", "[c4]",        "[news]",  "[forum]", "[eot]", "<0x00>"};
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_EQ(vocabulary_.piece(static_cast<TokenId>(i)), first[i]);
  EXPECT_EQ(vocabulary_.piece(272), "<0xFF>");
  const VocabularyFile file = read_vocabulary_file(model_).value();
  EXPECT_EQ(file.model_type, "unigram");
  EXPECT_EQ(file.normalizer, "identity");
  EXPECT_TRUE(file.add_dummy_prefix && file.byte_fallback && file.split_digits);
  EXPECT_FALSE(file.remove_extra_whitespaces);
  EXPECT_EQ(file.count(PieceType::byte), 256);
}

TEST_F(SmallVocabulary, GivesCodeBackToTheLastBlank) {
  for (const char* text : {"def f(x):\n\tif x:\n        return  1\n", "  two leading, two trailing  ", "\n\n", "a\r\nb",
                           "日本語 ελληνικά \xF0\x9F\x98\x80", "[code] in text", "12345 0x1F", "", " "}) {
    EXPECT_EQ(back(text), text);
  }
  EXPECT_EQ(back(std::string("nul\0inside", 10)), std::string("nul\0inside", 10));
}

TEST_F(SmallVocabulary, NamesSentinelsFromTheTopDown) {
  EXPECT_EQ(vocabulary_.sentinel(0), 899);
  EXPECT_EQ(vocabulary_.sentinel(299), 600);
  EXPECT_EQ(vocabulary_.piece(899), "<extra_id_0>");
  EXPECT_EQ(vocabulary_.embedding_rows(), 1024);
  EXPECT_EQ(vocabulary_.embedding_rows() % 128, 0);
}

TEST_F(SmallVocabulary, NeverMakesASentinelOutOfText) {
  for (const TokenId id : vocabulary_.encode("<extra_id_0> </s> <pad>")) {
    EXPECT_LT(id, vocabulary_.pieces());
    EXPECT_GT(id, 1);
  }
}

TEST_F(SmallVocabulary, DecodesSentinelsAndKeepsTheBlanksBehindThem) {
  std::vector<TokenId> ids = vocabulary_.encode("bado kilu");
  ids.push_back(vocabulary_.sentinel(0));
  vocabulary_.encode("mernos", ids);
  ids.push_back(vocabulary_.eos());
  ids.push_back(vocabulary_.pad());
  EXPECT_EQ(vocabulary_.decode(ids), "bado kilu<extra_id_0> mernos");
}

TEST_F(SmallVocabulary, IsNamedByItsBytes) {
  EXPECT_EQ(vocabulary_.hash().size(), 16U);
  EXPECT_EQ(Vocabulary(folder_.write("copy.model", model_)).hash(), vocabulary_.hash());
}

TEST_F(SmallVocabulary, ComesOutTheSameFromTheSameText) {
  EXPECT_EQ(train_vocabulary(small_text(), 600), model_);
}

TEST_F(SmallVocabulary, CannotHaveMorePiecesThanItsTextHolds) {
  EXPECT_THROW(train_vocabulary(small_text(), 1000000), ConfigError);
  EXPECT_THROW(train_vocabulary({}, 600), ConfigError);
}

TEST(Vocabulary, GoesTheSlowerWayForWhatIsNoUnigramAndSaysSo) {
  const TemporaryFolder folder;
  ModelFile model;
  model.model_type = 2;
  model.add_special_pieces();
  for (const char* piece : {"\xE2\x96\x81", "a", "b", "ab",
                            "\xE2\x96\x81"
                            "ab"})
    model.pieces.push_back({piece, -static_cast<float>(model.pieces.size()), PieceType::normal});
  const Vocabulary bpe(folder.write("bpe.model", model.bytes()));
  EXPECT_EQ(bpe.slow_because(), "it is of type bpe, not unigram");
  EXPECT_EQ(bpe.decode(bpe.encode("ab abab")), "ab abab");
  model.model_type = 1;
  EXPECT_EQ(Vocabulary(folder.write("unigram.model", model.bytes())).slow_because(), "");
}

TEST(Vocabulary, ServesManyThreadsAndOneAfterTheOther) {
  const TemporaryFolder folder;
  ModelFile model;
  model.byte_fallback = true;
  model.add_special_pieces();
  model.pieces.push_back({"ab", -1, PieceType::normal});
  const Vocabulary first(folder.write("first.model", model.bytes()));
  model.pieces.push_back({"abab", -1, PieceType::normal});
  const Vocabulary second(folder.write("second.model", model.bytes()));
  const auto of_first = first.encode("ababab");
  const auto of_second = second.encode("ababab");
  EXPECT_NE(of_first, of_second);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) wrong += first.encode("ababab") != of_first || second.encode("ababab") != of_second;
      wrong += first.decode(of_first) != second.decode(of_second);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Vocabulary, RefusesWhatIsNoModel) {
  const TemporaryFolder folder;
  EXPECT_THROW(Vocabulary(folder.path() / "missing.model"), ConfigError);
  EXPECT_THROW(Vocabulary(folder.path()), ConfigError);
  EXPECT_THROW(Vocabulary(folder.write("empty.model", "")), ConfigError);
  EXPECT_THROW(Vocabulary(folder.write("text.model", "not a model at all, but text")), ConfigError);
}

TEST(Vocabulary, RefusesAPieceWithAZeroByteWhichLibsentencepieceWouldEndTheProgramAt) {
  const TemporaryFolder folder;
  for (const int type : {1, 2, 3, 4}) {
    ModelFile model;
    model.model_type = type;
    model.add_special_pieces();
    model.pieces.push_back({"ab", -1, PieceType::normal});
    model.pieces.push_back({std::string("a\0b", 3), -2, PieceType::normal});
    try {
      const Vocabulary vocabulary(folder.write("zero.model", model.bytes()));
      ADD_FAILURE() << "taken: model type " << type;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("zero.model: piece 5 holds a zero byte"), std::string::npos)
          << error.what();
    }
  }
}

TEST(Vocabulary, TakesAFieldInAnotherEncodingThanItsMessageDeclaresForUnknownAsProtobufDoes) {
  ModelFile model;
  model.add_special_pieces();
  std::string bytes = model.bytes();
  const std::string piece(
      "\x0A\x02"
      "ab"
      "\x08\x48"               // The text's number, as a varint.
      "\x10\x07"               // The score's.
      "\x1A\x01\x03"           // The type's, as bytes.
      "\x15\x00\x00\x80\xBF",  // The score: -1.
      16);
  bytes += "\x0A" + std::string(1, static_cast<char>(piece.size())) + piece;
  bytes += "\x08\x05";              // The pieces' number, as a varint.
  bytes += "\x12\x03\x1A\x01\x02";  // Of the trainer, the model's type as bytes.
  const std::optional<VocabularyFile> file = read_vocabulary_file(bytes);
  ASSERT_TRUE(file);
  ASSERT_EQ(file->pieces.size(), model.pieces.size() + 1);
  EXPECT_EQ(file->pieces.back().text, "ab");
  EXPECT_EQ(file->pieces.back().score, -1);
  EXPECT_EQ(file->pieces.back().type, PieceType::normal);
  EXPECT_EQ(file->model_type, "unigram");
}

TEST(Vocabulary, EncodesAndDecodesAsTheGoldensSay) {
  const fs::path folder = shared_folder() / "tokenizers";
  MILLRACE_SKIP_WITHOUT(folder);
  int checked = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".goldens.json") == std::string::npos) continue;
    const nlohmann::json goldens = nlohmann::json::parse(std::ifstream(entry.path()));
    const fs::path model = entry.path().parent_path() / goldens.at("model").get<std::string>();
    std::unique_ptr<Vocabulary> vocabulary;
    try {
      vocabulary = std::make_unique<Vocabulary>(model);
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("has no"), std::string::npos) << error.what();
      continue;
    }
    for (const auto& golden : goldens.at("cases")) {
      const auto ids = golden.at("ids").get<std::vector<TokenId>>();
      EXPECT_EQ(vocabulary->encode(golden.at("text").get<std::string>()), ids) << name << golden.at("text");
      EXPECT_EQ(vocabulary->decode(ids), golden.at("decoded").get<std::string>()) << name << golden.at("text");
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::string piece = vocabulary->piece(ids[i]);
        if (piece != "<unk>") {
          EXPECT_EQ(piece, golden.at("pieces").at(i));
        }
      }
    }
    ++checked;
  }
  EXPECT_GE(checked, 3);
}

TEST(Vocabulary, EncodesAsTheRealUmT5) {
  const char* model = std::getenv("MILLRACE_UMT5");
  if (model == nullptr) GTEST_SKIP() << "MILLRACE_UMT5 does not name umT5's spiece.model";
  const fs::path goldens = shared_folder() / "tokenizers/umt5_real_goldens.json";
  MILLRACE_SKIP_WITHOUT(goldens);
  const Vocabulary vocabulary(model);
  const nlohmann::json sources = nlohmann::json::parse(std::ifstream(goldens));
  for (const auto& [source, cases] : sources.items()) {
    if (source.rfind("raw_sentencepiece", 0) != 0) continue;
    for (const auto& golden : cases) {
      EXPECT_EQ(vocabulary.encode(golden.at("text").get<std::string>()), golden.at("ids").get<std::vector<TokenId>>());
    }
  }
}

}  // namespace
}  // namespace millrace
