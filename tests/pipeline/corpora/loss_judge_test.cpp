#include "pipeline/corpora/loss_judge.h"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pipeline/corpora/corpus_set.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr Loss kNone{0, 0};

/// Counts of `sound` records of 100 bytes, and of the lost ones.
RecordCounts counts(std::uint64_t sound, Loss lost) {
  RecordCounts counts;
  counts.read = sound;
  counts.bytes = 100 * sound;
  counts.lost = lost;
  return counts;
}

Reject reject(RejectCause cause, Loss loss) {
  return {{"part-7.jsonl.zst", 5, 6, 700}, cause, "is broken", 0, loss};
}

TEST(WhatIsLost, IsOfRecordsOrOfBytesWhicheverIsMore) {
  EXPECT_DOUBLE_EQ(lost_part({10'000, 1'000'000}, {10, 10'000'000}), 10.0 / 11);  // Ten frames with most of the bytes.
  EXPECT_DOUBLE_EQ(lost_part({695, 1'000'000}, {305, 1000}), 0.305);
  EXPECT_DOUBLE_EQ(lost_part({100, 100}, kNone), 0);
  EXPECT_DOUBLE_EQ(lost_part(kNone, kNone), 0);
  EXPECT_DOUBLE_EQ(lost_part(kNone, {0, 1}), 1);
}

RC_GTEST_PROP(WhatIsLost, IsAPartThatGrowsWithEveryLoss, ()) {
  const auto any = rc::gen::arbitrary<std::uint32_t>();
  const Loss sound{*any, *any};
  Loss lost{*any, *any};
  const double before = lost_part(sound, lost);
  lost += {*any, *any};
  RC_ASSERT(before >= 0 && before <= 1);
  RC_ASSERT(lost_part(sound, lost) >= before);
}

TEST(Judging, BeginsWithTenThousandRecordsOrAGibibyteOrTheEnd) {
  LossJudge judge("corpus", 0.001);
  EXPECT_FALSE(judge.verdict(counts(9'000, {999, 0}), false));
  EXPECT_TRUE(judge.verdict(counts(9'000, {1'000, 0}), false));
  EXPECT_FALSE(judge.verdict(counts(10, {0, (1U << 30) - 1001}), false));
  EXPECT_TRUE(judge.verdict(counts(10, {0, (1U << 30) - 1000}), false));
  EXPECT_TRUE(judge.verdict(counts(10, {1, 0}), true));
  EXPECT_FALSE(judge.verdict(counts(0, kNone), true));
}

TEST(Judging, AllowsExactlyAsMuchAsIsAllowed) {
  EXPECT_FALSE(LossJudge("corpus", 0.1).verdict(counts(9, {1, 0}), true));
  EXPECT_TRUE(LossJudge("corpus", 0.1).verdict(counts(8, {1, 0}), true));
  EXPECT_FALSE(LossJudge("corpus", 1).verdict(counts(0, {1, 1}), true));
  EXPECT_TRUE(LossJudge("corpus", 0).verdict(counts(1'000'000, {0, 1}), true));
}

TEST(Judging, BlamesTheCauseThatLostMostAndItsFirstReject) {
  LossJudge judge("stories", 0.001);
  for (int i = 0; i < 50; ++i) judge.note(reject(RejectCause::bad_json, {1, 100}));
  judge.note(reject(RejectCause::damaged_frame, {1, 1'000'000}));
  const std::string verdict = *judge.verdict(counts(1000, {51, 1'005'000}), true);
  for (const char* part : {"corpus \"stories\"", "51 of 1051 records", "1005000 of 1105000 bytes", "91 %",
                           "1 rejects, as first: part-7.jsonl.zst:6 (record 5, byte 700): damaged_frame: is broken"})
    EXPECT_THAT(verdict, HasSubstr(part));
}

TEST(Judging, SaysWhereToLookForLossesOfBeforeTheRunWasGoneOnWith) {
  constexpr const char* kBefore = "before this run was gone on with: rejects.jsonl names it";
  LossJudge judge("corpus", 0.001);
  EXPECT_THAT(judge.verdict(counts(100, {5, 500}), true).value_or(""), HasSubstr(kBefore));
  judge.note(reject(RejectCause::bad_json, {3, 300}));
  EXPECT_THAT(judge.verdict(counts(100, {5, 500}), true).value_or(""), HasSubstr(kBefore));
  judge.note(reject(RejectCause::bad_utf8, {2, 200}));
  EXPECT_THAT(judge.verdict(counts(100, {5, 500}), true).value_or(""), testing::Not(HasSubstr(kBefore)));
}

TEST(AnUnreadableShard, IsNoneForTextsThatCouldBeReadAndForOneTextFile) {
  const RecordLayout lines = layout_named("c4");
  const RecordLayout text = layout_named("text");
  for (const RejectCause cause : {RejectCause::empty_text, RejectCause::too_long}) {
    EXPECT_FALSE(says_unreadable(cause, lines));
    EXPECT_FALSE(says_unreadable(cause, text));
  }
  EXPECT_TRUE(says_unreadable(RejectCause::missing_field, lines));
  EXPECT_FALSE(says_unreadable(RejectCause::bad_utf8, text));
  EXPECT_TRUE(says_unreadable(RejectCause::truncated, text));
  EXPECT_TRUE(says_unreadable(RejectCause::damaged_footer, lines));
}

TEST(AnUnreadableShard, IsAllowedByItsPathHoweverThatIsWritten) {
  StreamConfig config;
  config.data_directory = "/data";
  config.allow_unreadable = {"a/./b.jsonl", "/else/where.zst"};
  EXPECT_TRUE(may_be_unreadable(config, "a/b.jsonl"));
  EXPECT_TRUE(may_be_unreadable(config, "/data/a/b.jsonl"));
  EXPECT_TRUE(may_be_unreadable(config, "/else/where.zst"));
  EXPECT_FALSE(may_be_unreadable(config, "a/c.jsonl"));
}

TEST(AnUnreadableShard, IsAllowedByAnyPathThatLeadsToIt) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  folder.write("real/a.jsonl", "");
  folder.write("real/b.jsonl", "");
  fs::create_directory_symlink("real", folder.path() / "data");
  fs::create_symlink("a.jsonl", folder.path() / "real/link.jsonl");
  StreamConfig config;
  config.data_directory = (folder.path() / "data").string();
  for (const std::string& allowed :
       {std::string("link.jsonl"), std::string("../real/a.jsonl"), (folder.path() / "real/a.jsonl").string(),
        fs::relative(folder.path() / "real/a.jsonl", fs::canonical(folder.path() / "data")).string()}) {
    config.allow_unreadable = {"nothing-there.jsonl", allowed};
    EXPECT_TRUE(may_be_unreadable(config, "a.jsonl")) << allowed;
    EXPECT_FALSE(may_be_unreadable(config, "b.jsonl")) << allowed;
    EXPECT_FALSE(may_be_unreadable(config, "gone.jsonl")) << allowed;
  }
  config.allow_unreadable = {"a.jsonl"};
  EXPECT_TRUE(may_be_unreadable(config, "link.jsonl"));
}

TEST(AnUnreadableShard, IsAllowedByTheLineThatTheRefusalSuggestsWhateverItsName) {
  Reject first;
  first.where.shard = "a\"b\\c.jsonl";
  EXPECT_NE(unreadable_shard("c", first.where.shard, first).find("allow_unreadable = [\"a\\\"b\\\\c.jsonl\"]"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace
