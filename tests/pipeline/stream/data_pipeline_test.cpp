#include "pipeline/stream/data_pipeline.h"

#include <chrono>
#include <future>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr int kRowLength = 64;

std::string json_line(const std::string& text) {
  return "{\"text\": \"" + text + "\"}\n";
}

std::string shard_of(std::uint64_t seed, int documents, int words) {
  std::string lines;
  for (int i = 0; i < documents; ++i)
    lines += json_line(tiny_text(seed * 100'000 + static_cast<std::uint64_t>(i), 1 + i * 7 % words));
  return lines;
}

Objective ul2() {
  Objective objective;
  objective.name = "ul2";
  objective.denoisers = {{"short", DenoiserKind::span, 0.3, 3, 0.15, "[NLU] "},
                         {"long", DenoiserKind::span, 0.2, 8, 0.5, "[NLG] "},
                         {"prefix", DenoiserKind::prefix, 0.5, 0, 0, "[S2S] "}};
  return objective;
}

Objective causal() {
  Objective objective;
  objective.name = "causal";
  objective.separator = Separator::eos;
  objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
  return objective;
}

/// Two corpora of several shards, UL2 for 1,000 rows and then causal rows, epochs included.
class Stream : public testing::Test {
 protected:
  Stream() {
    for (int shard = 0; shard < 3; ++shard)
      folder_.write("a/part-" + std::to_string(shard) + ".jsonl", shard_of(static_cast<std::uint64_t>(shard), 60, 40));
    for (int shard = 0; shard < 2; ++shard)
      folder_.write("b/part-" + std::to_string(shard) + ".jsonl",
                    shard_of(10 + static_cast<std::uint64_t>(shard), 80, 90));
    config_.seed = 7;
    config_.sequence_length = kRowLength;
    config_.data_directory = folder_.path().string();
    config_.shuffle_block = 16;
    config_.holdout = 0.05;
    Phase first{1000 * kRowLength,
                {"mix", "mix.toml", {folder_corpus("a", 30 * kPercent), folder_corpus("b", 70 * kPercent)}},
                ul2()};
    Phase second{2000 * kRowLength, first.mix, causal()};
    config_.phases = {first, second};
  }

  struct Run {
    std::vector<std::string> rows;  ///< Everything about a row, as text.
    std::vector<std::shared_ptr<const StreamPosition>> positions;
    Ledger ledger;
  };

  static std::string fingerprint(const StreamRow& row) {
    std::string text = std::to_string(row.number);
    for (const auto* ids : {&row.row.tokens, &row.row.labels, &row.row.segment_ids, &row.row.positions})
      for (const std::int32_t id : *ids) text += " " + std::to_string(id);
    for (const ExampleOrigin& origin : row.examples)
      text += " c" + std::to_string(origin.corpus) + "d" + std::to_string(origin.denoiser);
    return text;
  }

  Run run(int threads, std::optional<StreamPosition> start = std::nullopt, std::size_t rows = 100'000,
          std::uint64_t bytes_in_flight = 4 << 20) {
    DataPipeline::Options options;
    options.threads = threads;
    options.bytes_in_flight = bytes_in_flight;
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::move(start), options);
    Run result;
    while (result.rows.size() < rows) {
      const auto batch = pipeline.next();
      if (!batch) break;
      result.rows.push_back(fingerprint(batch->front()));
      result.positions.push_back(batch->front().after);
      result.ledger.add(batch->front());
    }
    return result;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
};

TEST_F(Stream, GivesTheSameRowsWithOneTwoAndEightThreads) {
  const Run one = run(1);
  EXPECT_EQ(one.rows.size(), 2000U);
  EXPECT_EQ(run(2).rows, one.rows);
  EXPECT_EQ(run(8).rows, one.rows);
  EXPECT_EQ(run(2, std::nullopt, 100'000, 1).rows, one.rows);
}

TEST_F(Stream, PacksTheSameExamplesInTheSameRowsWithOneTwoAndEightThreads) {
  config_.phases[0].objective.layout = RowLayout::openmoe;
  config_.phases[0].objective.lengths = {20, 14};
  config_.phases[1].objective.attention = AttentionReach::document;
  const Run one = run(1);
  EXPECT_EQ(one.rows.size(), 2000U);
  std::uint64_t examples = 0;
  for (const auto& [key, entry] : one.ledger.entries()) examples += key.phase == 0 ? entry.examples : 0;
  EXPECT_GT(examples, 1500U);
  EXPECT_EQ(run(2).rows, one.rows);
  EXPECT_EQ(run(8).rows, one.rows);
  EXPECT_EQ(run(2, std::nullopt, 100'000, 1).rows, one.rows);
}

TEST_F(Stream, GoesOnFromAnyRowAsIfItHadNeverStopped) {
  const Run whole = run(2);
  for (const std::size_t row : {0U, 1U, 17U, 299U, 998U, 999U, 1000U, 1001U, 1777U, 1998U}) {
    const StreamPosition start = json_again(*whole.positions[row]);
    const Run rest = run(2, start);
    ASSERT_EQ(rest.rows,
              (std::vector<std::string>(whole.rows.begin() + static_cast<std::ptrdiff_t>(row) + 1, whole.rows.end())))
        << "after row " << row;
    ASSERT_TRUE(*rest.positions.back() == *whole.positions.back());
  }
}

TEST_F(Stream, KeepsEveryCorpusAndDenoiserWithinOneExampleOfItsShare) {
  const Run whole = run(2);
  std::map<std::uint32_t, double> raw;
  std::map<std::uint32_t, double> examples;
  std::map<std::pair<std::uint32_t, std::uint32_t>, double> by_denoiser;
  for (const auto& [key, entry] : whole.ledger.entries()) {
    if (key.phase != 0) continue;
    raw[key.corpus] += static_cast<double>(entry.raw_tokens);
    examples[key.corpus] += static_cast<double>(entry.examples);
    by_denoiser[{key.corpus, key.denoiser}] += static_cast<double>(entry.examples);
  }
  EXPECT_NEAR(raw[0], 0.3 * (raw[0] + raw[1]), kRowLength);
  for (const auto& [key, count] : by_denoiser)
    EXPECT_NEAR(count, config_.phases[0].objective.denoisers[key.second].share * examples[key.first], 1.0);
}

TEST_F(Stream, AccountsForEveryPosition) {
  const Run whole = run(2);
  EXPECT_EQ(whole.ledger.positions(), 2000U * kRowLength);
  EXPECT_TRUE(json_again(whole.ledger) == whole.ledger);
}

TEST_F(Stream, ReadsNoFurtherThanItsCreditWhileTheTrainerStalls) {
  config_.shuffle_tokens = 1000;
  DataPipeline::Options options;
  options.threads = 2;
  options.bytes_in_flight = 8 << 10;
  for (int shard = 0; shard < 40; ++shard)
    folder_.write("a/more-" + std::to_string(shard) + ".jsonl",
                  shard_of(50 + static_cast<std::uint64_t>(shard), 500, 20));
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, options);
  std::uint64_t before = 0;
  for (std::uint64_t now = 1; now != before;) {  // until a whole second passes without a record read
    before = now;
    std::this_thread::sleep_for(std::chrono::seconds(1));
    now = pipeline.records_read_ahead();
  }
  EXPECT_LT(before, 2000U);
  EXPECT_TRUE(pipeline.next().has_value());
}

TEST_F(Stream, CountsDocumentsOnTheirWayByTheirBytes) {
  constexpr std::uint64_t kDocumentBytes = 256 << 10;
  std::string text;
  while (text.size() < kDocumentBytes) text += "mill ";
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += json_line(text);
  folder_.write("long/part.jsonl", lines);
  config_.holdout = 0;
  config_.shuffle_tokens = 0;
  config_.phases.resize(1);
  config_.phases[0].mix.corpora = {folder_corpus("long", 100 * kPercent)};
  for (const std::uint64_t documents : {1U, 4U, 10U}) {
    DataPipeline::Options options;
    options.threads = 2;
    options.bytes_in_flight = documents * kDocumentBytes;
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, options);
    std::uint64_t before = 0;
    for (std::uint64_t now = 1; now != before;) {  // until a second passes without a record read
      before = now;
      std::this_thread::sleep_for(std::chrono::seconds(1));
      now = pipeline.records_read_ahead();
    }
    EXPECT_GE(before, documents);
    EXPECT_LE(before, documents + 3) << "one goes beyond, one is in the token buffer, and one is being consumed";
  }
}

TEST_F(Stream, DoesNotHangOnManyOneTokenRecordsOneAtATime) {
  constexpr int kRecords = 200'000;
  std::string lines;
  for (int i = 0; i < kRecords; ++i) lines += "{\"text\":\"mill\"}\n";
  folder_.write("tiny/part.jsonl", lines);
  config_.holdout = 0;
  Mix mix{"mix", "mix.toml", {folder_corpus("tiny", 100 * kPercent)}};
  const auto tokens = static_cast<std::uint64_t>(tiny_vocabulary().encode("mill").size()) * kRecords;
  config_.phases = {{tokens / 2, mix, causal()}};
  EXPECT_GT(run(2, std::nullopt, kRecords, 1).rows.size(), tokens / 2 / kRowLength - 1);
}

TEST_F(Stream, StopsAtTheSameRowWhateverTheThreadsWhenTooMuchIsBad) {
  std::string lines;
  for (int i = 0; i < 200; ++i)
    lines += i % 10 == 3 ? "{\"text\": 5}\n" : json_line(tiny_text(static_cast<std::uint64_t>(i), 30));
  folder_.write("a/zz-bad.jsonl", lines);
  const auto rows_before_the_fault = [this](int threads) {
    DataPipeline::Options options;
    options.threads = threads;
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, options);
    std::size_t rows = 0;
    try {
      while (pipeline.next()) ++rows;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("max_bad_fraction"));
      return rows;
    }
    ADD_FAILURE() << "no error";
    return rows;
  };
  const std::size_t rows = rows_before_the_fault(1);
  EXPECT_GT(rows, 10U);
  EXPECT_EQ(rows_before_the_fault(8), rows);
}

TEST_F(Stream, NamesEveryRejectOnceWithItsRow) {
  config_.max_bad_fraction = 1;
  folder_.write("a/zz-bad.jsonl", json_line("mill") + "{\"text\": 5}\nnothing\n" + json_line("stone"));
  config_.phases.resize(1);
  config_.phases[0].mix.corpora = {folder_corpus("a", 100 * kPercent)};
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {});
  std::map<std::uint64_t, int> lines;
  while (const auto batch = pipeline.next()) {
    if (batch->front().after->corpora[0].place.epoch > 0) break;
    for (const Reject& reject : batch->front().rejects) ++lines[reject.where.line];
  }
  EXPECT_EQ(lines, (std::map<std::uint64_t, int>{{2, 1}, {3, 1}}));
}

TEST_F(Stream, ReadsTheShardsThatItIsGivenAndLooksForNone) {
  const Run whole = run(2);
  const std::vector<RunCorpus> found = corpora_of(config_, FindShards::yes);
  folder_.write("a/0-comes-first.jsonl", json_line("mill stone"));
  for (Phase& phase : config_.phases)
    for (Corpus& corpus : phase.mix.corpora) corpus.patterns = {"nothing-here/*.jsonl"};
  DataPipeline pipeline(config_, found, tiny_vocabulary(), std::nullopt, {.threads = 2});
  std::vector<std::string> rows;
  while (const auto batch = pipeline.next()) rows.push_back(fingerprint(batch->front()));
  EXPECT_EQ(rows, whole.rows);
}

TEST_F(Stream, ClosesACorpusAfterItsEpochsAndGoesOnWithTheOthers) {
  config_.phases.resize(1);
  config_.phases[0].until = 1000 * kRowLength;
  config_.phases[0].mix.corpora[0].max_epochs = 1.5;
  config_.phases[0].mix.corpora[0].at_end = AtEnd::redistribute;
  const Run whole = run(2);
  EXPECT_EQ(whole.rows.size(), 1000U);
  const CorpusPosition& closed = whole.positions.back()->corpora[0];
  EXPECT_FALSE(closed.open);
  EXPECT_EQ(closed.records.read, 360U);
  EXPECT_GT(closed.records.skipped, 40U);
  EXPECT_EQ(run(8).rows, whole.rows);
  for (const std::size_t row : {50U, 300U}) {
    const Run rest = run(2, *whole.positions[row]);
    ASSERT_EQ(rest.rows,
              (std::vector<std::string>(whole.rows.begin() + static_cast<std::ptrdiff_t>(row) + 1, whole.rows.end())));
  }
}

TEST_F(Stream, EndsWithACorpusThatSaysStop) {
  config_.phases[0].mix.corpora[0].max_epochs = 1;
  config_.phases[0].mix.corpora[0].at_end = AtEnd::stop;
  config_.phases.resize(1);
  const Run whole = run(2);
  EXPECT_LT(whole.rows.size(), 1000U);
  EXPECT_EQ(run(1).rows.size(), whole.rows.size());
}

TEST_F(Stream, EndsAtOnceWhenTheTrainerStops) {
  config_.phases.back().until = 1'000'000'000'000 * kRowLength;  // Not reached before the timeout of ctest.
  DataPipeline::Options options;
  options.threads = 2;
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, options);
  EXPECT_TRUE(pipeline.next().has_value());
  pipeline.stop();
  EXPECT_FALSE(pipeline.next().has_value());
}

TEST_F(Stream, RefusesAPositionOfAnotherRun) {
  StreamPosition other = *run(1, std::nullopt, 10).positions[9];
  other.corpora[0].corpus = "else";
  EXPECT_THROW(run(1, other), ConfigError);
}

TEST_F(Stream, RefusesACorpusWithoutShards) {
  config_.phases[0].mix.corpora[0].patterns = {"nowhere/*.jsonl"};
  config_.phases.resize(1);
  try {
    run(1);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("corpus \"a\""), testing::HasSubstr("nowhere")));
  }
}

}  // namespace
}  // namespace millrace
