#include "pipeline/plan/document_values.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pipeline/corpora/is_held_out.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

class ValuesOfDocuments : public testing::Test {
 protected:
  ValuesOfDocuments() {
    config_.data_directory = folder_.path().string();
    config_.holdout = 0;
    config_.phases.resize(1);
    corpus_.corpus.name = "c";
  }

  /// Adds a shard with a line for each of these; a value "" is a document without the field, "-" is no document.
  void add_shard(const std::vector<std::string>& values, int words = 20) {
    std::string lines;
    for (const std::string& value : values) {
      const std::string text = tiny_text(++texts_, words);
      const std::string field = value.empty() ? "" : ", \"meta\": {\"language\": \"" + value + "\"}";
      lines += value == "-" ? "{torn\n" : "{\"text\": \"" + text + "\"" + field + "}\n";
    }
    corpus_.shards.push_back("part-" + std::to_string(corpus_.shards.size()) + ".jsonl");
    folder_.write(corpus_.shards.back(), lines);
  }

  DocumentValues found(int threads = 2) const { return {config_, corpus_, "meta.language", threads, {}}; }

  TemporaryFolder folder_;
  StreamConfig config_;
  RunCorpus corpus_;
  std::uint64_t texts_ = 0;
};

TEST_F(ValuesOfDocuments, AreTheSameNumberWhereTheyAreTheSame) {
  add_shard({"en", "de", "", "en"});
  add_shard({"fr", "de", ""});
  const DocumentValues values = found();
  EXPECT_EQ(values.of(0, 0), values.of(0, 3));
  EXPECT_EQ(values.of(0, 1), values.of(1, 1));
  EXPECT_EQ(values.of(0, 2), values.of(1, 2));
  EXPECT_NE(values.of(0, 0), values.of(0, 1));
  EXPECT_NE(values.of(0, 0), values.of(0, 2));
  EXPECT_NE(values.of(1, 0), values.of(0, 0));
  EXPECT_NE(values.of(1, 0), values.of(0, 1));
}

TEST_F(ValuesOfDocuments, AreNumberedTheSameOnAnyNumberOfThreads) {
  for (int shard = 0; shard < 8; ++shard)
    add_shard({"a" + std::to_string(shard), "b" + std::to_string(shard % 3), "c"});
  const DocumentValues one = found(1), several = found(4);
  for (std::uint32_t shard = 0; shard < 8; ++shard)
    for (std::uint64_t record = 0; record < 3; ++record) EXPECT_EQ(one.of(shard, record), several.of(shard, record));
}

TEST_F(ValuesOfDocuments, AreNoneWhereNoDocumentHasTheField) {
  add_shard({"", "-", ""});
  EXPECT_FALSE(found().any());
  EXPECT_EQ(found().of(0, 0), found().of(0, 2));
  add_shard({"", "en"});
  EXPECT_TRUE(found().any());
}

TEST_F(ValuesOfDocuments, CountBadRecordsAsRowsDo) {
  add_shard({"en", "-", "de"});
  const DocumentValues values = found();
  EXPECT_NE(values.of(0, 0), values.of(0, 2));
  EXPECT_THROW(values.of(0, 1), DataError);
  EXPECT_THROW(values.of(0, 3), DataError);
}

TEST_F(ValuesOfDocuments, DivideAShardsTokensAsItsText) {
  add_shard({"en", "en", "en"});
  add_shard({"de"}, 30);
  add_shard({"en", "de"});
  const DocumentValues values = found();
  const std::vector<double> tokens = values.tokens({300, 100, 60});
  const auto en = tokens.at(values.of(0, 0)), de = tokens.at(values.of(1, 0));
  EXPECT_NEAR(en + de, 460, 1e-9);
  EXPECT_NEAR(en, 330, 10);
  EXPECT_NEAR(de, 130, 10);
}

TEST_F(ValuesOfDocuments, GiveHeldOutTextNoTokens) {
  config_.holdout = 0.5;
  std::vector<std::string> alternating;
  for (int i = 0; i < 40; ++i)
    alternating.emplace_back(is_held_out(tiny_text(static_cast<std::uint64_t>(i + 1), 20), 0.5) ? "out" : "in");
  add_shard(alternating);
  const DocumentValues values = found();
  const auto out = std::ranges::find(alternating, "out") - alternating.begin();
  const auto in = std::ranges::find(alternating, "in") - alternating.begin();
  const std::vector<double> tokens = values.tokens({100});
  EXPECT_EQ(tokens.at(values.of(0, static_cast<std::uint64_t>(out))), 0);
  EXPECT_NEAR(tokens.at(values.of(0, static_cast<std::uint64_t>(in))), 100, 1e-9);
}

}  // namespace
}  // namespace millrace
