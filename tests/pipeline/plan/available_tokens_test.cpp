#include "pipeline/plan/available_tokens.h"

#include <cmath>

#include <gtest/gtest.h>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/corpora/shard_index.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

class AvailableTokensOfACorpus : public testing::Test {
 protected:
  AvailableTokensOfACorpus() {
    config_.data_directory = folder_.path().string();
    config_.holdout = 0.1;
    config_.phases.resize(1);
    corpus_.corpus.name = "c";
  }

  /// Adds a shard, and its tokens to the expected count.
  void add_shard(int documents, int words) {
    const std::uint64_t number = corpus_.shards.size();
    std::string lines;
    for (int i = 0; i < documents; ++i) {
      const std::string text = tiny_text(number * 1'000'000 + static_cast<std::uint64_t>(i), words + i % 50);
      lines += "{\"text\": \"" + text + "\"}\n";
      if (!is_held_out(text, config_.holdout)) tokens_ += static_cast<double>(tiny_vocabulary().encode(text).size());
    }
    corpus_.shards.push_back("part-" + std::to_string(number) + ".jsonl");
    folder_.write(corpus_.shards.back(), lines);
  }

  AvailableTokens found(const DataManifest* manifest = nullptr) const {
    return available_tokens(config_, {corpus_}, tiny_vocabulary(), manifest).at(0);
  }

  DataManifest index(const Vocabulary* vocabulary, double holdout = 0) const {
    IndexOptions options;
    options.vocabulary = vocabulary;
    options.holdout = holdout;
    return build_index(folder_.path(), corpus_.shards, options, 1, nullptr, {}).manifest;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
  RunCorpus corpus_;
  double tokens_ = 0;
};

TEST_F(AvailableTokensOfACorpus, AreCountedWhereTheSampleIsEverything) {
  add_shard(30, 20);
  add_shard(50, 40);
  const AvailableTokens available = found();
  EXPECT_EQ(available.tokens, tokens_);
  EXPECT_EQ(available.error, 0);
  EXPECT_EQ(available.layouts, std::vector<std::string>{"custom"});
}

TEST_F(AvailableTokensOfACorpus, AreEstimatedWithinTheErrorThatIsStated) {
  for (int shard = 0; shard < 12; ++shard) add_shard(700, 20 + 5 * (shard % 4));
  const AvailableTokens available = found();
  EXPECT_GT(available.error, 0);
  EXPECT_LT(available.error, 0.2);
  EXPECT_NEAR(available.tokens / tokens_, 1, available.error);
}

TEST_F(AvailableTokensOfACorpus, AreNotCountedAsNoneWhereOnlyTheSampleHasNone) {
  for (int shard = 0; shard < 12; ++shard) add_shard(50, 20);
  corpus_.corpus.filter.keep = {{"lang", {"en"}}};
  const AvailableTokens available = found();
  EXPECT_EQ(available.tokens, 0);
  EXPECT_EQ(available.error, 1);
}

TEST_F(AvailableTokensOfACorpus, AreCountedByShardWhereAManifestCountsThem) {
  add_shard(40, 20);
  const double first = tokens_;
  add_shard(30, 50);
  const auto by_shard = [&](const DataManifest& manifest) {
    return counted_shard_tokens(config_, corpus_, tiny_vocabulary(), manifest);
  };
  EXPECT_EQ(by_shard(index(&tiny_vocabulary(), config_.holdout)), (std::vector<double>{first, tokens_ - first}));
  EXPECT_FALSE(by_shard(index(&tiny_vocabulary(), 0.2))) << "another holdout";
  EXPECT_FALSE(by_shard(index(nullptr, config_.holdout))) << "no tokens";
}

TEST_F(AvailableTokensOfACorpus, AreCountedByAManifestOfTheSameVocabulary) {
  config_.holdout = 0;
  for (int shard = 0; shard < 3; ++shard) add_shard(2000, 40);
  const DataManifest manifest = index(&tiny_vocabulary());
  const AvailableTokens counted = found(&manifest);
  EXPECT_TRUE(counted.from_manifest);
  EXPECT_EQ(counted.tokens, tokens_);
  EXPECT_EQ(counted.error, 0);
  const DataManifest without_tokens = index(nullptr);
  EXPECT_FALSE(found(&without_tokens).from_manifest);
  corpus_.corpus.filter.keep = {{"lang", {"en"}}};
  EXPECT_FALSE(found(&manifest).from_manifest) << "the manifest knows nothing of filters";
}

TEST_F(AvailableTokensOfACorpus, AreCountedWithoutTheDocumentsThatAreHeldOut) {
  for (int shard = 0; shard < 3; ++shard) add_shard(2000, 40);
  const DataManifest manifest = index(&tiny_vocabulary(), config_.holdout);
  const AvailableTokens counted = found(&manifest);
  EXPECT_TRUE(counted.from_manifest);
  EXPECT_EQ(counted.tokens, tokens_) << "the documents themselves, not their expected share";
  for (const double another : {0.0, 0.2}) {
    const DataManifest of_another = index(&tiny_vocabulary(), another);
    EXPECT_FALSE(found(&of_another).from_manifest);
  }
  config_.holdout = 0;
  EXPECT_TRUE(found(&manifest).from_manifest) << "what is held out is counted twice: with and without";
}

TEST_F(AvailableTokensOfACorpus, AreThoseOfOneChunkOfEachDocument) {
  config_.phases[0].objective.max_document_tokens = 64;
  config_.holdout = 0;
  double kept = 0;
  for (int i = 0; i < 40; ++i) {
    const auto size =
        static_cast<double>(tiny_vocabulary().encode(tiny_text(static_cast<std::uint64_t>(i), 20 + i)).size());
    kept += size <= 64 ? size : size / std::ceil(size / 64);
  }
  add_shard(40, 20);
  EXPECT_LT(kept, tokens_);
  EXPECT_NEAR(found().tokens, kept, 1e-6);
  const DataManifest manifest = index(&tiny_vocabulary());
  EXPECT_FALSE(found(&manifest).from_manifest) << "the manifest knows nothing of chunks";
}

TEST_F(AvailableTokensOfACorpus, AreEstimatedWhereAShardIsNotAsItWasIndexed) {
  for (int shard = 0; shard < 2; ++shard) add_shard(2000, 40);
  const DataManifest manifest = index(&tiny_vocabulary());
  folder_.write(corpus_.shards[1], "{\"text\": \"the mill\"}\n");
  EXPECT_FALSE(found(&manifest).from_manifest);
}

TEST_F(AvailableTokensOfACorpus, DoNotCountWhatAFilterLeavesOut) {
  add_shard(30, 20);
  corpus_.corpus.filter.keep = {{"lang", {"en"}}};
  EXPECT_EQ(found().tokens, 0);
}

}  // namespace
}  // namespace millrace
