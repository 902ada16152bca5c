#include "stages/shard_to_records.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "stages/duckdb_session.h"
#include "stages/errors.h"
#include "tests/stages/shard_fixture.h"

namespace millrace {
namespace {

using testing::gzip_member;
using testing::json_line;
using testing::read_shard;
using testing::Reading;
using testing::skippable_frame;
using testing::TemporaryFolder;
using testing::zstd_frame;

using Strings = std::vector<std::string>;
using Numbers = std::vector<std::uint64_t>;
using Causes = std::map<std::string, int>;

std::string lines(int from, int to) {
  std::string all;
  for (int i = from; i < to; ++i) all += json_line(std::string("document ").append(std::to_string(i)));
  return all;
}

class Shard : public ::testing::Test {
 protected:
  Reading read(const std::string& bytes, std::uint64_t first = 0, RecordReader::Options options = {}) const {
    return read_shard(folder_.write("shard.any", bytes), first, options);
  }
  TemporaryFolder folder_;
};

TEST_F(Shard, TellsTheContainerByItsContent) {
  for (const std::string& bytes : {lines(0, 5), zstd_frame(lines(0, 5)), gzip_member(lines(0, 5))}) {
    EXPECT_EQ(read(bytes).records(), (Numbers{0, 1, 2, 3, 4}));
  }
}

TEST_F(Shard, OfNoBytesHasNoRecordsAndNoRejects) {
  for (const std::string& bytes : {std::string(), zstd_frame(""), gzip_member(""), skippable_frame("")}) {
    const Reading reading = read(bytes);
    EXPECT_TRUE(reading.documents.empty() && reading.rejects.empty());
  }
}

TEST_F(Shard, ReadsFramesThatAreCutInTheMiddleOfALine) {
  const std::string all = lines(0, 9);
  const std::string first = all.substr(0, 30), second = all.substr(30);
  EXPECT_EQ(read(skippable_frame("x") + zstd_frame(first) + zstd_frame("") + zstd_frame(second)).records().size(), 9U);
  EXPECT_EQ(read(gzip_member(first) + gzip_member(second) + std::string(100, '\0')).records().size(), 9U);
}

TEST_F(Shard, ReportsATruncatedContainerAndKeepsWhatStandsBeforeIt) {
  for (const std::string& whole : {zstd_frame(lines(0, 50)), gzip_member(lines(0, 50))}) {
    const Reading reading = read(zstd_frame("") == whole ? "" : whole.substr(0, whole.size() - 2));
    EXPECT_EQ(reading.causes(), (Causes{{"truncated", 1}}));
  }
  const std::string good = zstd_frame(lines(0, 7));
  EXPECT_EQ(read(good + zstd_frame(lines(7, 90)).substr(0, 40)).records().size(), 7U);
}

TEST_F(Shard, ReportsGarbageBehindTheLastFrameWithoutLosingAnything) {
  for (const std::string& whole : {zstd_frame(lines(0, 5)), gzip_member(lines(0, 5))}) {
    const Reading reading = read(whole + "garbage");
    EXPECT_EQ(reading.documents.size(), 5U);
    EXPECT_EQ(reading.causes(), (Causes{{"trailing_garbage", 1}}));
    EXPECT_EQ(reading.rejects.at(0).lost_bytes, 7U);
  }
}

TEST_F(Shard, LosesOnlyTheFrameThatIsDamaged) {
  std::string damaged = zstd_frame(lines(10, 20));
  damaged.back() ^= 1;  // The checksum.
  const Reading reading = read(zstd_frame(lines(0, 10)) + damaged + zstd_frame(lines(20, 30)));
  EXPECT_EQ(reading.causes(), (Causes{{"damaged_frame", 1}}));
  EXPECT_EQ(reading.texts().back(), "document 29");
  EXPECT_GE(reading.documents.size(), 20U);
}

TEST_F(Shard, RejectsALineThatIsTooLongAndKeepsItsNeighbours) {
  RecordReader::Options options;
  options.max_record_bytes = 100;
  const Reading reading = read(lines(0, 2) + json_line(std::string(5000, 'x')) + lines(3, 5), 0, options);
  EXPECT_EQ(reading.records(), (Numbers{0, 1, 3, 4}));
  EXPECT_EQ(reading.causes(), (Causes{{"too_long", 1}}));
}

TEST_F(Shard, GivesOneRejectForAFileThatCannotBeRead) {
  EXPECT_EQ(read_shard((folder_.path() / "missing").string()).causes(), (Causes{{"unreadable", 1}}));
  EXPECT_EQ(read_shard(folder_.path().string()).causes(), (Causes{{"unreadable", 1}}));
}

TEST_F(Shard, StartsAtTheRecordAskedFor) {
  const std::string bytes = std::string("\n").append(lines(0, 3)).append("{broken\n\n").append(lines(4, 6));
  const Reading reading = read(zstd_frame(bytes), 3);
  EXPECT_EQ(reading.records(), (Numbers{4, 5}));
  EXPECT_EQ(reading.rejects.at(0).where.record, 3U);
  EXPECT_EQ(reading.rejects.at(0).where.line, 5U);
  EXPECT_TRUE(read(zstd_frame(bytes), 6).documents.empty());
  EXPECT_TRUE(read(zstd_frame(bytes), 99).documents.empty());
}

RC_GTEST_PROP(ShardSeek, EqualsReadingFromTheStartAndSkipping, ()) {
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
  std::string bytes;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == 0) {
      bytes.push_back('\n');
    } else if (kinds[i] == 1) {
      bytes.append("{broken\n");
    } else {
      bytes.append(json_line(std::to_string(i)));
    }
  }
  const TemporaryFolder folder;
  const std::string path = folder.write("shard", *rc::gen::arbitrary<bool>() ? zstd_frame(bytes) : bytes);
  const auto first = *rc::gen::inRange<std::uint64_t>(0, kinds.size() + 2);
  const Reading whole = read_shard(path);
  const Reading rest = read_shard(path, first);
  Strings expected;
  for (const Document& document : whole.documents) {
    if (document.where.record >= first) expected.push_back(document.text);
  }
  RC_ASSERT(rest.texts() == expected);
}

class ParquetShard : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef MILLRACE_HAS_DUCKDB
    GTEST_SKIP() << "built without DuckDB: run scripts/deps.sh";
#endif
  }
  /// Ten thousand rows in five row groups.
  std::string write(const std::string& select) const {
    const std::string path = (folder_.path() / "odd [name]*?.parquet").string();
    DuckdbSession().query("COPY (" + select + ") TO " + sql_string(path) + " (FORMAT parquet, ROW_GROUP_SIZE 2048)");
    return path;
  }
  TemporaryFolder folder_;
  const std::string numbered_ = "SELECT 'row ' || i AS content, i AS size FROM range(10000) AS numbers(i)";
};

TEST_F(ParquetShard, GivesItsRowsInOrder) {
  const Reading reading = read_shard(write(numbered_), 0, {layout_named("the-stack")});
  ASSERT_EQ(reading.documents.size(), 10000U);
  EXPECT_EQ(reading.documents[7777].text, "row 7777");
  EXPECT_EQ(reading.documents[7777].where.record, 7777U);
  EXPECT_TRUE(reading.rejects.empty());
}

TEST_F(ParquetShard, StartsInTheMiddleOfARowGroup) {
  const std::string path = write(numbered_);
  for (const std::uint64_t first : {1ULL, 2047ULL, 2048ULL, 5000ULL, 9999ULL}) {
    const Reading reading = read_shard(path, first, {layout_named("the-stack")});
    ASSERT_EQ(reading.documents.size(), 10000 - first);
    EXPECT_EQ(reading.documents[0].where.record, first);
  }
  EXPECT_TRUE(read_shard(path, 10000, {layout_named("the-stack")}).documents.empty());
}

TEST_F(ParquetShard, RejectsNullAndEmptyRowsByThemselves) {
  const std::string path = write("SELECT * FROM (VALUES ('a'), (NULL), (''), ('b')) AS v(content)");
  const Reading reading = read_shard(path, 0, {layout_named("the-stack")});
  EXPECT_EQ(reading.records(), (Numbers{0, 3}));
  EXPECT_EQ(reading.causes(), (Causes{{"empty_text", 1}, {"wrong_type", 1}}));
}

TEST_F(ParquetShard, WithoutAColumnOfTextIsRejectedAsAWhole) {
  const std::string path = write(numbered_);
  EXPECT_EQ(read_shard(path).causes(), (Causes{{"missing_column", 1}}));
  EXPECT_EQ(read_shard(path, 0, {{"size"}}).causes(), (Causes{{"missing_column", 1}}));
}

TEST_F(ParquetShard, ShowsItsLayout) {
  EXPECT_EQ(detect_layout(write(numbered_)).text_field, "content");
}

TEST_F(Shard, ShowsItsLayoutUnlessItHasNone) {
  const auto field = [this](const std::string& bytes) { return detect_layout(folder_.write("s", bytes)).text_field; };
  EXPECT_EQ(field(R"({"content": "x", "text": "y"})"), "text");
  EXPECT_EQ(field("{broken\n"
                  R"({"content": "x"})"),
            "content");
  EXPECT_EQ(field(zstd_frame(R"({"raw_content": "x"})")), "raw_content");
  EXPECT_EQ(field(""), "text");
  EXPECT_EQ(detect_layout((folder_.path() / "missing").string()).text_field, "text");
}

TEST(Layout, OfAnUnknownNameListsTheKnownOnes) {
  EXPECT_EQ(layout_named("redpajama-v2").text_field, "raw_content");
  try {
    layout_named("redpyjama");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("redpajama, redpajama-v2, the-stack, dolma, c4"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace
