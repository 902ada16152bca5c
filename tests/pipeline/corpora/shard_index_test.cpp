#include "pipeline/corpora/shard_index.h"

#include <atomic>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/shards/shard_to_records.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string record(const std::string& text, const std::string& language = "") {
  const std::string meta = language.empty() ? "" : ",\"meta\":{\"language\":\"" + language + "\"}";
  return "{\"text\":\"" + text + "\"" + meta + "}\n";
}

/// Five shards, the third with two bad lines.
class Indexing : public testing::Test {
 protected:
  Indexing() {
    for (int shard = 0; shard < 5; ++shard) {
      std::string lines;
      for (int i = 0; i < 20 + 10 * shard; ++i) lines += record(tiny_text(static_cast<std::uint64_t>(i), 5), "en");
      if (shard == 2) lines += "{\"text\":\"torn\n" + record("sound", "de") + "{\"text\":7}\n";
      names_.push_back("part-" + std::to_string(shard) + ".jsonl");
      folder_.write(names_.back(), lines);
    }
  }

  fs::path file(int shard) const { return folder_.path() / names_[static_cast<std::size_t>(shard)]; }
  ShardIndex build(const ShardIndex* earlier = nullptr, int threads = 2, const JobCallbacks& watch = {}) const {
    return build_index(folder_.path(), names_, options_, threads, earlier, watch);
  }
  IndexedShard index_one(const std::string& name) const {
    return *index_shard(folder_.path(), name, options_, [](std::uint64_t) { return true; });
  }
  static std::string text_of(const ShardIndex& index) {
    std::string text = json_table(manifest_json(index.manifest, index.manifest.root)) + to_jsonl(index.rejects);
    return text;
  }

  TemporaryFolder folder_;
  std::vector<std::string> names_;
  IndexOptions options_;
};

TEST_F(Indexing, CountsRecordsTextAndRejectsOfEachShard) {
  const ShardIndex index = build();
  ASSERT_EQ(index.manifest.shards.size(), 5U);
  const ShardEntry& damaged = index.manifest.shards[2];
  EXPECT_EQ(damaged.path, "part-2.jsonl");
  EXPECT_EQ(damaged.container, "plain");
  EXPECT_EQ(damaged.layout, "redpajama");
  EXPECT_EQ(damaged.records, 41U);
  EXPECT_EQ(damaged.rejects, (std::map<std::string, std::uint64_t>{{"bad_json", 1}, {"wrong_type", 1}}));
  EXPECT_EQ(damaged.bytes, fs::file_size(file(2)));
  EXPECT_FALSE(damaged.tokens.has_value());
  std::uint64_t text_bytes = 5;
  for (std::uint64_t i = 0; i < 40; ++i) text_bytes += tiny_text(i, 5).size();
  EXPECT_EQ(damaged.text_bytes, text_bytes);
}

TEST_F(Indexing, NamesEachRejectByShardLineAndByte) {
  const ShardIndex index = build();
  ASSERT_EQ(index.rejects.size(), 2U);
  EXPECT_EQ(index.rejects[1].where.shard, "part-2.jsonl");
  EXPECT_EQ(index.rejects[1].where.line, 43U);
  EXPECT_EQ(index.rejects[1].where.record, 42U);
  EXPECT_EQ(index.rejects[1].where.byte, fs::file_size(file(2)) - std::string("{\"text\":7}\n").size());
}

TEST_F(Indexing, HashesAllBytes) {
  const std::string bytes(3'000'001, 'x');
  folder_.write("long.jsonl", bytes);
  EXPECT_EQ(index_one("long.jsonl").entry.xxh3, fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size())));
}

TEST_F(Indexing, CountsTheTokensOfAllDocuments) {
  options_.vocabulary = &tiny_vocabulary();
  folder_.write("two.jsonl", record("the river") + record("turns the mill"));
  EXPECT_EQ(index_one("two.jsonl").entry.tokens,
            tiny_vocabulary().encode("the river").size() + tiny_vocabulary().encode("turns the mill").size());
}

TEST_F(Indexing, KeepsSeekPointsAtLeastFourMebibytesApartFromWhichTheShardReadsOn) {
  std::string lines;
  for (int i = 0; i < 1500; ++i) lines += record(std::to_string(i) + ":" + std::string(10'000, 'x'));
  folder_.write("long.jsonl", lines);
  const std::vector<SeekPoint> points = index_one("long.jsonl").entry.seek_points;
  ASSERT_EQ(points.size(), 3U);
  SeekPoint before;
  for (const SeekPoint& point : points) {
    EXPECT_GE(point.byte, before.byte + (4U << 20));
    before = point;
    const auto reader = open_shard((folder_.path() / "long.jsonl").string(), {}, point.record, point);
    Record read;
    ASSERT_TRUE(reader->next(read));
    EXPECT_EQ(std::get<Document>(read).text.rfind(std::to_string(point.record) + ":", 0), 0U);
    EXPECT_EQ(std::get<Document>(read).where.line, point.line);
  }
}

TEST_F(Indexing, GivesTheSameOnOneThreadAndOnEight) {
  EXPECT_EQ(text_of(build(nullptr, 1)), text_of(build(nullptr, 8)));
}

TEST_F(Indexing, TakesOverWhatDidNotChangeWithoutReadingIt) {
  const ShardIndex earlier = build();
  const auto time = fs::last_write_time(file(1));
  std::string bytes(fs::file_size(file(1)), ' ');  // Same size and time; reading it would find nothing.
  folder_.write(names_[1], bytes);
  fs::last_write_time(file(1), time);
  const ShardIndex again = build(&earlier);
  EXPECT_EQ(again.taken_over, 5U);
  EXPECT_EQ(text_of(again), text_of(earlier));
}

TEST_F(Indexing, ReadsAgainWhatWasWrittenSince) {
  const ShardIndex earlier = build();
  folder_.write(names_[1], record("new"));
  const ShardIndex again = build(&earlier);
  EXPECT_EQ(again.taken_over, 4U);
  EXPECT_EQ(again.manifest.shards[1].records, 1U);
  EXPECT_EQ(again.rejects.size(), 2U);
}

TEST_F(Indexing, TakesNothingOverThatWasCountedOtherwise) {
  const ShardIndex earlier = build();
  options_.vocabulary = &tiny_vocabulary();
  EXPECT_EQ(build(&earlier).taken_over, 0U);
  options_.vocabulary = nullptr;
  options_.layout = "c4";
  EXPECT_EQ(build(&earlier).taken_over, 0U);
  options_.layout = "";
  options_.text_field = "body";
  EXPECT_EQ(build(&earlier).taken_over, 0U);
}

TEST_F(Indexing, ReadsAShardAgainWhoseRejectsWereLost) {
  ShardIndex earlier = build();
  earlier.rejects.clear();
  EXPECT_EQ(text_of(build(&earlier)), text_of(build()));
}

TEST_F(Indexing, KeepsWhatIsDoneWhenInterruptedAndGoesOnFromThere) {
  std::atomic<bool> interrupted = false;
  JobCallbacks watch;
  watch.progress = [&](const std::string&, std::uint64_t, std::uint64_t, const char*) { interrupted = true; };
  watch.interrupted = [&] { return interrupted.load(); };
  const ShardIndex part = build(nullptr, 1, watch);
  EXPECT_FALSE(part.manifest.complete);
  EXPECT_EQ(part.manifest.shards.size(), 1U);
  EXPECT_EQ(part.manifest.shards[0].path, "part-4.jsonl");  // The largest.
  const ShardIndex whole = build(&part);
  EXPECT_EQ(whole.taken_over, 1U);
  EXPECT_EQ(text_of(whole), text_of(build()));
}

TEST_F(Indexing, TellsOfAllBytesInTheEnd) {
  std::uint64_t behind = 0;
  std::uint64_t all = 0;
  JobCallbacks watch;
  watch.progress = [&](const std::string&, std::uint64_t so_far, std::uint64_t total, const char*) {
    EXPECT_GE(so_far, behind);
    behind = so_far;
    all = total;
  };
  std::uint64_t bytes = 0;
  for (const ShardEntry& entry : build(nullptr, 2, watch).manifest.shards) bytes += entry.bytes;
  EXPECT_EQ(behind, bytes);
  EXPECT_EQ(all, bytes);
}

/// The result for a shard that changes after its first record was read.
class ShardUnderWay : public Indexing {
 protected:
  IndexedShard index_while(const std::function<void()>& happens) {
    bool happened = false;
    return *index_shard(folder_.path(), names_[0], options_, [&](std::uint64_t) {
      if (!std::exchange(happened, true)) happens();
      return true;
    });
  }
  static void expect_unreadable(const IndexedShard& shard) {
    EXPECT_EQ(shard.entry.rejects.at("unreadable"), 1U);
    EXPECT_FALSE(shard.entry.is_readable());
    EXPECT_EQ(shard.rejects.back().where.shard, "part-0.jsonl");
  }
};

TEST_F(ShardUnderWay, IsUnreadableIfItVanishes) {
  expect_unreadable(index_while([&] { fs::remove(file(0)); }));
}

TEST_F(ShardUnderWay, IsUnreadableIfItShrinks) {
  expect_unreadable(index_while([&] { fs::resize_file(file(0), 10); }));
}

TEST_F(ShardUnderWay, IsUnreadableIfItGrows) {
  expect_unreadable(index_while([&] { std::ofstream(file(0), std::ios::app) << record("more"); }));
}

TEST_F(Indexing, CountsAMissingShardAsUnreadableAndTriesItAgain) {
  names_.push_back("part-9.jsonl");
  const ShardIndex index = build();
  EXPECT_EQ(index.manifest.shards.back().rejects.at("unreadable"), 1U);
  EXPECT_EQ(index.rejects.back().where.shard, "part-9.jsonl");
  folder_.write("part-9.jsonl", record("there it is"));
  EXPECT_EQ(build(&index).manifest.shards.back().records, 1U);
}

TEST_F(Indexing, HoldsNoMoreRejectsThanAskedButCountsThemAll) {
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += "no JSON\n";
  folder_.write("bad.jsonl", lines);
  options_.named_rejects = 7;
  const IndexedShard shard = index_one("bad.jsonl");
  EXPECT_EQ(shard.rejects.size(), 7U);
  EXPECT_EQ(shard.entry.rejects.at("bad_json"), 50U);
}

TEST_F(Indexing, CountsDocumentsAndTextPerValueOfAField) {
  options_.by = "lang";
  folder_.write("mixed.jsonl", record("one", "en") + record("zwei", "de") + record("three", "en") + record("none"));
  const FieldValues by = index_one("mixed.jsonl").by;
  EXPECT_EQ(by.counts, (std::map<std::string, FieldValues::Count>{{"en", {2, 8}}, {"de", {1, 4}}, {"", {1, 4}}}));
  const ShardIndex all = build();
  EXPECT_EQ(all.by.counts.at("en").documents, 20U + 30 + 40 + 50 + 60);
  EXPECT_EQ(all.by.counts.at("de").documents, 1U);
}

TEST_F(Indexing, ReadsAllShardsToCountAField) {
  const ShardIndex earlier = build();
  options_.by = "lang";
  EXPECT_EQ(build(&earlier).taken_over, 0U);
}

TEST(FieldValuesTest, SumsWhatThereIsNoRoomFor) {
  FieldValues values;
  for (std::size_t i = 0; i < FieldValues::kMostValues + 5; ++i) values.add(std::to_string(i), {1, 10});
  values.add("0", {1, 10});
  EXPECT_EQ(values.counts.size(), FieldValues::kMostValues);
  EXPECT_EQ(values.counts.at("0").documents, 2U);
  EXPECT_EQ(values.others, (FieldValues::Count{5, 50}));
}

TEST(RejectLines, AreReadAsTheyWereWritten) {
  const Reject reject{{"a/b.jsonl", 5, 6, 700}, RejectCause::damaged_page, "the \"page\"", 42};
  const std::vector<Reject> read = rejects_from_jsonl(to_jsonl({reject}), "r.jsonl");
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(Json(read[0]), Json(reject));
  EXPECT_THROW(rejects_from_jsonl(to_jsonl({reject}) + "torn", "r.jsonl"), ConfigError);
}

}  // namespace
}  // namespace millrace
