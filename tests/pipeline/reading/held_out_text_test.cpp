#include <gtest/gtest.h>

#include "pipeline/reading/held_out.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

/// Two documents, both held out.
class HeldOutText : public testing::Test {
 protected:
  HeldOutText() {
    folder_.write("a/part.jsonl", "{\"text\": \"" + first_ + "\"}\n{\"text\": \"" + second_ + "\"}\n");
    config_.data_directory = folder_.path().string();
    config_.holdout = 1;
    config_.phases = {{1 << 20, {"mix", "mix.toml", {folder_corpus("a", kShareUnits)}}, {}}};
  }

  HeldOut gathered(std::size_t tokens) const {
    return gather_held_out(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), tokens).at(0);
  }

  std::string first_ = tiny_text(1, 30), second_ = tiny_text(2, 30);
  std::size_t first_ids_ = tiny_vocabulary().encode(first_).size();
  std::size_t all_ids_ = first_ids_ + tiny_vocabulary().encode(second_).size();
  TemporaryFolder folder_;
  StreamConfig config_;
};

TEST_F(HeldOutText, SaysThatItsLastDocumentIsCutWhereTheLimitCutsIt) {
  const HeldOut cut = gathered(all_ids_ - 1);
  EXPECT_EQ(cut.documents.size(), 2U);
  EXPECT_EQ(cut.tokens, all_ids_ - 1);
  EXPECT_TRUE(cut.last_is_cut);
}

TEST_F(HeldOutText, IsWholeWhereADocumentEndsAtTheLimit) {
  for (const std::size_t tokens : {first_ids_, all_ids_, all_ids_ + 1}) EXPECT_FALSE(gathered(tokens).last_is_cut);
  EXPECT_EQ(gathered(first_ids_).documents.size(), 1U);
  EXPECT_EQ(gathered(all_ids_ + 1).text_bytes, first_.size() + second_.size());
}

TEST_F(HeldOutText, IsOfTheShardsThatAreHandedOnAndLooksForNone) {
  const std::vector<RunCorpus> found = corpora_of(config_, FindShards::yes);
  folder_.write("a/0-comes-first.jsonl", "{\"text\": \"" + tiny_text(3, 30) + "\"}\n");
  config_.phases[0].mix.corpora[0].patterns = {"nothing-here/*.jsonl"};
  const HeldOut kept = gather_held_out(config_, found, tiny_vocabulary(), 1000).at(0);
  EXPECT_EQ(kept.text_bytes, first_.size() + second_.size());
}

}  // namespace
}  // namespace millrace
