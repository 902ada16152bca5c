#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/corpora/loss_judge.h"
#include "pipeline/corpora/reject_notices.h"
#include "pipeline/corpora/shard_index.h"
#include "pipeline/export/preprocess.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/content_hash.h"
#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"
#include "tests/zstd_frame.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string lines(int from, int to) {
  std::string all;
  for (int i = from; i < to; ++i) all += "{\"text\": \"" + tiny_text(static_cast<std::uint64_t>(i), 12) + "\"}\n";
  return all;
}

/// A corpus of one folder: read by a run, by preprocess and by index.
class LostData : public testing::Test {
 protected:
  LostData() {
    folder_.write("data/a/part-0.jsonl", lines(0, 200));
    config_.name = "tiny";
    config_.sequence_length = 32;
    config_.data_directory = (folder_.path() / "data").string();
    config_.holdout = 0;
    config_.shuffle_block = 16;
    Phase phase;
    phase.until = 1'000'000;
    phase.mix.corpora = {folder_corpus("a", kShareUnits, 1, AtEnd::stop)};
    phase.objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    config_.phases = {phase};
  }

  void write(const std::string& name, const std::string& bytes) { folder_.write("data/a/" + name, bytes); }

  struct Outcome {
    std::string error = "none";
    std::uint64_t rows = 0;
    std::vector<Reject> rejects;  ///< Of all rows, and of the end.
    std::optional<StreamPosition> end;
  };

  Outcome run(std::optional<StreamPosition> start = std::nullopt) {
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::move(start),
                          {.threads = 2});
    Outcome outcome;
    const auto take = [&](const StreamRow& row) {
      outcome.rejects.insert(outcome.rejects.end(), row.rejects.begin(), row.rejects.end());
    };
    try {
      for (auto batch = pipeline.next(); batch; batch = pipeline.next()) {
        take(batch->front());
        ++outcome.rows;
      }
      outcome.end = *pipeline.end().after;
    } catch (const DataError& error) {
      outcome.error = error.what();
    }
    take(pipeline.end());
    return outcome;
  }

  std::string preprocess_error() {
    fs::remove_all(folder_.path() / "out");
    PreprocessOptions options;
    options.out = folder_.path() / "out";
    options.format = "olmo";
    options.threads = 2;
    try {
      preprocess(config_, tiny_vocabulary(), options, {});
    } catch (const DataError& error) {
      return error.what();
    }
    return "none";
  }

  ShardEntry indexed(const std::string& name) {
    return index_shard(folder_.path() / "data", "a/" + name, {}, [](std::uint64_t) { return true; })->entry;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
};

TEST_F(LostData, OfDamagedFramesIsWhatTheyHeldAndNotTheirNumber) {
  std::string shard;
  for (int frame = 0; frame < 11; ++frame)
    shard += frame == 0 ? zstd_frame_of(lines(0, 100)) : damaged_frame_of(lines(100 * frame, 100 * frame + 100));
  write("part-0.jsonl", zstd_frame_of(lines(0, 4)) + shard);
  config_.max_bad_fraction = 0.89;
  for (const std::string& error : {run().error, preprocess_error()})
    EXPECT_THAT(error, AllOf(HasSubstr("max_bad_fraction"), HasSubstr("9"), HasSubstr("a/part-0.jsonl"),
                             HasSubstr("damaged_frame")));
  config_.max_bad_fraction = 0.93;
  EXPECT_EQ(run().error, "none");
  EXPECT_EQ(preprocess_error(), "none");
  const ShardEntry entry = indexed("part-0.jsonl");
  EXPECT_NEAR(lost_part({entry.records, entry.content}, entry.lost), 10.0 / 11, 0.01);
  EXPECT_FALSE(entry.is_lost());
}

TEST_F(LostData, IsJudgedAtTheCorpussEndHoweverSmallItIs) {
  write("part-1.jsonl", lines(0, 99) + "{\"text\": 7}\n");
  config_.max_bad_fraction = 0.001;
  EXPECT_THAT(run().error,
              AllOf(HasSubstr("1 of 300 records"), HasSubstr("a/part-1.jsonl:100"), HasSubstr("wrong_type")));
  EXPECT_THAT(preprocess_error(), HasSubstr("1 of 300 records"));
}

TEST_F(LostData, IsTheSameAfterAStop) {
  write("part-1.jsonl", zstd_frame_of(lines(0, 50)) + damaged_frame_of(lines(50, 90)) + zstd_frame_of(lines(90, 300)) +
                            damaged_frame_of(lines(300, 350)) + zstd_frame_of(lines(350, 500)));
  config_.max_bad_fraction = 1;
  const Outcome whole = run();
  ASSERT_TRUE(whole.end);
  EXPECT_GT(whole.end->corpora[0].records.lost.bytes, lines(0, 80).size());
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {.threads = 2});
  for (std::uint64_t row = 0; row + 1 < whole.rows; ++row) {
    const StreamPosition at = json_again(*pipeline.next()->front().after);
    if (row % 9 != 0) continue;
    EXPECT_EQ(run(at).end, whole.end) << row;
  }
}

TEST_F(LostData, IsCountedAndNamedAlikeByTheStreamAndByPreprocessWithOneTwoAndEightThreads) {
  write("part-1.jsonl", zstd_frame_of(lines(0, 400)) + damaged_frame_of(lines(400, 900)) +
                            zstd_frame_of(lines(900, 950)) + damaged_frame_of(lines(950, 990)));
  write("part-2.jsonl", "{\"text\": 7}\n" + lines(0, 700) + "{\"text\": \"\"}\n");
  config_.max_bad_fraction = 1;
  config_.holdout = 0.1;
  const Outcome streamed = run();
  ASSERT_TRUE(streamed.end) << streamed.error;
  EXPECT_EQ(streamed.rejects.size(), 4U);
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 8}) {
    PreprocessOptions options;
    options.out = folder_.path() / ("out-" + std::to_string(threads));
    options.format = "olmo";
    options.threads = threads;
    const PreprocessResult result = preprocess(config_, tiny_vocabulary(), options, {});
    EXPECT_EQ(result.manifest.accounts.at(0).records, streamed.end->corpora.at(0).records) << threads;
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(options.out)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      files[entry.path().lexically_relative(options.out).string()] = {std::istreambuf_iterator<char>(file), {}};
    }
    EXPECT_EQ(std::ranges::count(files.at("rejects.jsonl"), '\n'), 4);
    if (first.empty()) first = files;
    EXPECT_EQ(files, first) << threads << " threads";
  }
}

/// What stops a job although a part of everything may be bad.
class AnUnreadableShardIn : public LostData, public testing::WithParamInterface<std::pair<const char*, std::string>> {};

TEST_P(AnUnreadableShardIn, ACorpusStopsEveryJobUnlessItIsAllowed) {
  const std::string& bytes = GetParam().second;
  write("part-1.jsonl", bytes);
  config_.max_bad_fraction = 1;
  const Outcome refused = run();
  for (const std::string& error : {refused.error, preprocess_error()})
    EXPECT_THAT(error, AllOf(HasSubstr("a/part-1.jsonl"), HasSubstr(GetParam().first),
                             HasSubstr("allow_unreadable = [\"a/part-1.jsonl\"]")));
  EXPECT_FALSE(refused.rejects.empty()) << "what was passed over before is told";
  EXPECT_TRUE(indexed("part-1.jsonl").is_lost());
  EXPECT_FALSE(indexed("part-0.jsonl").is_lost());

  config_.max_bad_fraction = 0;
  config_.allow_unreadable = {"a/part-1.jsonl"};
  const Outcome allowed = run();
  EXPECT_EQ(allowed.error, "none");
  EXPECT_EQ(preprocess_error(), "none");
  EXPECT_EQ(allowed.rejects.size(), refused.rejects.size());
  EXPECT_EQ(allowed.end->corpora[0].records.rejected_total(), allowed.rejects.size());
  EXPECT_EQ(allowed.end->corpora[0].records.lost, (Loss{0, 0}));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, AnUnreadableShardIn,
    testing::Values(std::pair("missing_field", std::string("{\"body\": \"x\"}\n{\"body\": \"y\"}\n")),
                    std::pair("bad_json", std::string("no\n\njson\nat all\n")),
                    std::pair("damaged_frame", damaged_frame_of(lines(0, 100))),
                    std::pair("truncated", zstd_frame_of(lines(0, 1)).substr(0, 20)),
                    std::pair("damaged_frame", std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff", 13)),
                    std::pair("damaged_footer", std::string("PAR1 nothing that is Parquet PAR1"))),
    [](const auto& of) { return fmt::format("{}_{}", of.index, of.param.first); });

TEST_F(LostData, OfAShardThatIsEmptyOrHasOnlyEmptyTextsIsNoUnreadableShard) {
  write("part-1.jsonl", "");
  write("part-2.jsonl", "\n\n");
  write("part-3.jsonl", "{\"text\": \"\"}\n{\"text\": \"\"}\n");
  config_.max_bad_fraction = 0.05;
  EXPECT_EQ(run().error, "none");
  EXPECT_EQ(preprocess_error(), "none");
  for (const char* name : {"part-1.jsonl", "part-2.jsonl", "part-3.jsonl"}) EXPECT_FALSE(indexed(name).is_lost());
}

TEST_F(LostData, OfAnUnreadableShardStopsARunThatBeganBeforeIt) {
  config_.shuffle_tokens = 0;  // A window would reach that shard before the first row.
  write("part-1.jsonl", "no json\n");
  Outcome whole = run();
  while (whole.rows == 0) {  // With this seed the shard comes first.
    ++config_.seed;
    whole = run();
  }
  EXPECT_THAT(whole.error, HasSubstr("a/part-1.jsonl"));
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {.threads = 2});
  const StreamPosition at = *pipeline.next()->front().after;
  const Outcome rest = run(at);
  EXPECT_EQ(rest.error, whole.error);
  EXPECT_EQ(rest.rows + 1, whole.rows);
}

TEST(Notices, NameTheFirstRejectOfACauseAndEveryTenfold) {
  RejectNotices notices;
  Reject reject{{"shard.jsonl", 0, 1, 0}, RejectCause::bad_json, "not JSON"};
  std::vector<int> told;
  for (int i = 1; i <= 1500; ++i)
    if (notices.line("a", reject)) told.push_back(i);
  EXPECT_EQ(told, (std::vector<int>{1, 10, 100, 1000}));
  EXPECT_TRUE(notices.line("b", reject)) << "each corpus by itself";
  reject.cause = RejectCause::bad_utf8;
  EXPECT_THAT(*notices.line("a", reject), AllOf(HasSubstr("\"a\""), HasSubstr("bad_utf8"), HasSubstr("shard.jsonl:1")));
  RejectNotices later;
  RejectNotices::Counts before{};
  before[static_cast<std::size_t>(RejectCause::bad_utf8)] = 8;
  later.begin("a", before);
  EXPECT_FALSE(later.line("a", reject));
  EXPECT_TRUE(later.line("a", reject));
}

/// Bytes that this process got from read calls so far.
std::uint64_t bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string key;
  std::uint64_t value = 0;
  file >> key >> value;
  return value;
}

TEST_F(LostData, OfAnIndexedShardAndItsHashAreFoundInOneReading) {
  if (bytes_read() == 0) GTEST_SKIP() << "no /proc/self/io";
  std::string bytes;
  for (int i = 0; i < 12; ++i) bytes += "{\"text\": \"" + std::string(1 << 20, 'x') + "\"}\n";
  write("long.jsonl", bytes);
  const std::uint64_t before = bytes_read();
  const std::string hash = indexed("long.jsonl").xxh3;
  EXPECT_LT(bytes_read() - before, bytes.size() + bytes.size() / 4);
  for (int i = 0; i < 3; ++i) bytes += damaged_frame_of(lines(0, 100));
  ContentHash expected;
  const std::string damaged =
      zstd_frame_of(lines(0, 50)) + damaged_frame_of(lines(0, 300)) + zstd_frame_of(lines(0, 50));
  expected.add(damaged.data(), damaged.size());
  write("damaged.jsonl", damaged);
  EXPECT_EQ(indexed("damaged.jsonl").xxh3, expected.hex()) << "what was passed over is hashed all the same";
}

}  // namespace
}  // namespace millrace
