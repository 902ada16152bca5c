#include "stages/shard_list.h"

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/stages/shard_fixture.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;

class ShardList : public ::testing::Test {
 protected:
  Strings list(const Strings& patterns) const { return list_shards(patterns, folder_.path().string()); }
  void touch(const std::string& name) const { folder_.write(name, "x"); }
  testing::TemporaryFolder folder_;
};

TEST_F(ShardList, PutsPart2BeforePart10) {
  for (const char* name : {"part-10.jsonl", "part-2.jsonl", "part-1.jsonl"}) touch(name);
  EXPECT_EQ(list({"part-*.jsonl"}), (Strings{"part-1.jsonl", "part-2.jsonl", "part-10.jsonl"}));
}

TEST_F(ShardList, NamesAShardOnceThoughTwoPatternsMatchIt) {
  touch("a.jsonl");
  EXPECT_EQ(list({"a.jsonl", "*.jsonl", "."}), (Strings{"a.jsonl"}));
}

TEST_F(ShardList, TakesOnlyShardsFromAFolderButAnythingThatIsNamed) {
  for (const char* name : {"d/a.jsonl.zst", "d/deep/b.parquet", "d/c.json", "d/notes.txt", "d/.hidden.jsonl"})
    touch(name);
  EXPECT_EQ(list({"d"}), (Strings{"d/a.jsonl.zst", "d/deep/b.parquet"}));
  EXPECT_EQ(list({"d/c.json"}), (Strings{"d/c.json"}));
}

TEST_F(ShardList, PassesOverTheRejectsOfAnIndexUnlessTheyAreNamed) {
  for (const char* name : {"d/a.jsonl", "d/millrace-index.rejects.jsonl"}) touch(name);
  EXPECT_EQ(list({"d"}), (Strings{"d/a.jsonl"}));
  EXPECT_EQ(list({"d/*.jsonl"}), (Strings{"d/a.jsonl"}));
  EXPECT_EQ(list({"d/millrace-index.rejects.jsonl"}), (Strings{"d/millrace-index.rejects.jsonl"}));
}

TEST_F(ShardList, UnderstandsGlobs) {
  for (const char* name : {"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}) touch(name);
  EXPECT_EQ(list({"**/*.jsonl"}), (Strings{"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}));
  EXPECT_EQ(list({"x/**/*.jsonl"}), (Strings{"x/1.jsonl", "x/y/2.jsonl"}));
  EXPECT_EQ(list({"?/[1-3].jsonl"}), (Strings{"x/1.jsonl", "z/3.jsonl"}));
  EXPECT_EQ(list({"z/[4].jsonl"}), (Strings{"z/[4].jsonl"}));
  EXPECT_EQ(list({"[xz]"}), (Strings{"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}));
}

TEST_F(ShardList, ReadsListsOfPatterns) {
  for (const char* name : {"a.jsonl", "b.jsonl", "c.jsonl"}) touch(name);
  folder_.write("list.txt", "# two of three\na.jsonl\n\n  c.*  # the last\n");
  EXPECT_EQ(list({"@list.txt"}), (Strings{"a.jsonl", "c.jsonl"}));
}

TEST_F(ShardList, KeepsPathsElsewhereAbsolute) {
  const testing::TemporaryFolder elsewhere;
  const std::string path = elsewhere.write("e.jsonl", "x");
  EXPECT_EQ(list({path}), (Strings{path}));
}

TEST_F(ShardList, NamesThePatternThatMatchesNothing) {
  touch("a.jsonl");
  folder_.write("list.txt", "a.jsonl\nnone.jsonl\n");
  for (const char* pattern : {"none.jsonl", "none*", "@list.txt", "@nothing.txt", ""}) {
    EXPECT_THROW(list({"a.jsonl", pattern}), ConfigError) << pattern;
  }
  try {
    list({"@list.txt"});
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("list.txt:2: no shard matches \"none.jsonl\""), std::string::npos);
  }
}

TEST(NaturalOrder, ComparesRunsOfDigitsAsNumbers) {
  EXPECT_TRUE(natural_less("a2", "a10"));
  EXPECT_FALSE(natural_less("a10", "a2"));
  EXPECT_TRUE(natural_less("a9b", "a10a"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_TRUE(natural_less("a007", "a7") != natural_less("a7", "a007"));
  EXPECT_TRUE(natural_less("99999999999999999999998", "99999999999999999999999"));
}

}  // namespace
}  // namespace millrace
