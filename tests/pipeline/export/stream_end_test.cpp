#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pipeline/export/export_account.h"
#include "pipeline/export/preprocess.h"
#include "pipeline/export/stored_rows.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int kRowLength = 16;

/// A run over two finite corpora: one stops the stream, with bad records up to its end.
class StreamEnd : public testing::Test {
 protected:
  StreamEnd() {
    std::string lines;
    for (std::uint64_t i = 0; i < 60; ++i) lines += "{\"text\": \"" + tiny_text(i, 9) + "\"}\n";
    folder_.write("data/a/part-0.jsonl", lines + "{\"text\": 1}\n");
    for (std::uint64_t i = 100; i < 130; ++i) lines += "{\"text\": \"" + tiny_text(i, 5) + "\"}\nno json\n";
    folder_.write("data/b/part-0.jsonl", lines);
    config_.name = "tiny";
    config_.sequence_length = kRowLength;
    config_.data_directory = (folder_.path() / "data").string();
    config_.holdout = 0.1;
    config_.shuffle_block = 8;
    config_.max_bad_fraction = 1;
    Phase phase;
    phase.until = 1'000'000;
    phase.mix.corpora = {folder_corpus("a", 40 * kPercent, 1.5, AtEnd::redistribute),
                         folder_corpus("b", 60 * kPercent, 1, AtEnd::redistribute)};
    phase.objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    config_.phases = {phase};
  }

  struct Whole {
    std::vector<std::size_t> batches;  ///< Their sizes.
    std::vector<std::vector<TokenId>> rows;
    std::map<std::pair<std::uint32_t, std::uint64_t>, int> rejects;  ///< By corpus and line.
    Ledger ledger;
    std::optional<StreamPosition> last;  ///< After the last row.
    std::optional<StreamPosition> end;
  };

  static Whole all_of(BatchSource& source) {
    Whole whole;
    const auto take = [&](const StreamRow& row) {
      for (std::size_t i = 0; i < row.rejects.size(); ++i)
        ++whole.rejects[{row.reject_corpora[i], row.rejects[i].where.line}];
    };
    while (const std::optional<Batch> batch = source.next()) {
      whole.batches.push_back(batch->size());
      for (const StreamRow& row : *batch) {
        take(row);
        whole.rows.push_back(row.row.tokens);
        whole.ledger.add(row);
        whole.last = *row.after;
      }
    }
    const StreamRow end = source.end();
    take(end);
    EXPECT_EQ(end.number, whole.rows.size());
    EXPECT_TRUE(end.row.tokens.empty() && end.examples.empty());
    if (end.after != nullptr) whole.end = *end.after;
    return whole;
  }

  Whole stream(int batch_rows, int threads = 2) {
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt,
                          {.threads = threads, .batch_rows = batch_rows});
    return all_of(pipeline);
  }

  TemporaryFolder folder_;
  StreamConfig config_;
};

TEST_F(StreamEnd, GivesTheRowsOfAnIncompleteBatch) {
  const Whole one = stream(1);
  ASSERT_GT(one.rows.size(), 30U);
  for (const int batch_rows : {2, 7, 8, 1000}) {
    const Whole batched = stream(batch_rows);
    EXPECT_EQ(batched.rows, one.rows) << batch_rows;
    const auto size = static_cast<std::size_t>(batch_rows);
    for (std::size_t i = 0; i + 1 < batched.batches.size(); ++i) EXPECT_EQ(batched.batches[i], size);
    EXPECT_EQ(batched.batches.back(), (one.rows.size() - 1) % size + 1);
    EXPECT_EQ(batched.rejects, one.rejects);
    EXPECT_EQ(batched.end, one.end);
  }
}

TEST_F(StreamEnd, TellsEveryRejectOfEveryEpochOnce) {
  const Whole whole = stream(8);
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> expected{{{0, 61}, 2}};  // The corpus is read twice.
  for (std::uint64_t i = 0; i < 30; ++i) expected[{1, 62 + 2 * i}] = 1;
  EXPECT_EQ(whole.rejects, expected);
}

TEST_F(StreamEnd, HasReadEveryRecordAndClosedEveryCorpus) {
  const Whole whole = stream(1);
  ASSERT_TRUE(whole.end);
  EXPECT_EQ(whole.end->row, whole.rows.size());
  const std::uint64_t records[] = {2 * 61, 120};
  for (std::uint32_t i = 0; i < 2; ++i) {
    const CorpusPosition& place = whole.end->corpora[i];
    EXPECT_EQ(place.records.read, records[i]);
    EXPECT_FALSE(place.open);
    EXPECT_NO_THROW(check_account(account_of_rows(place, whole.ledger, i)));
  }
  EXPECT_EQ(stream(3, 1).end, whole.end);
}

TEST_F(StreamEnd, IsWhereAPhaseEndsIfNothingElseEndsBefore) {
  config_.phases[0].until = 11 * kRowLength;
  const Whole whole = stream(4);
  EXPECT_EQ(whole.batches, (std::vector<std::size_t>{4, 4, 3}));
  EXPECT_EQ(whole.end, whole.last);
}

TEST_F(StreamEnd, OfRowsInAFolderIsTheStreams) {
  PreprocessOptions options;
  options.out = folder_.path() / "rows";
  options.format = "rows";
  options.tokens = 1'000'000;
  options.part_bytes = 4000;
  options.threads = 2;
  const PreprocessResult result = preprocess(config_, tiny_vocabulary(), options, {});
  EXPECT_TRUE(result.manifest.stream_ended);
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  for (const int batch_rows : {1, 8}) {
    StoredRows folder(options.out, {config_, config_, corpora, tiny_vocabulary(), 60'000, batch_rows});
    const Whole there = all_of(folder);
    const Whole here = stream(batch_rows);
    EXPECT_EQ(there.batches, here.batches);
    EXPECT_EQ(there.rows, here.rows);
    EXPECT_EQ(there.rejects, here.rejects);
    EXPECT_EQ(there.end, here.end);
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(result.manifest.accounts[i].records, stream(1).end->corpora[i].records);
    EXPECT_EQ(result.manifest.accounts[i].tail_documents, stream(1).end->corpora[i].tail_documents);
  }
}

TEST_F(StreamEnd, OfAFailureTellsWhatWasPassedOverBeforeIt) {
  config_.max_bad_fraction = 0.05;
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt,
                        {.threads = 2, .batch_rows = 1000});
  EXPECT_THROW(pipeline.next(), DataError);
  std::uint64_t of_b = 0;
  for (const std::uint32_t corpus : pipeline.end().reject_corpora) of_b += corpus;
  EXPECT_EQ(of_b, 30U);
}

TEST_F(StreamEnd, OfRowsInAFolderThatHasMoreIsTheEndOfThePhasesTrainedOn) {
  PreprocessOptions options;
  options.out = folder_.path() / "rows";
  options.format = "rows";
  options.tokens = 40 * kRowLength;
  options.threads = 2;
  preprocess(config_, tiny_vocabulary(), options, {});
  StreamConfig trained = config_;
  trained.phases[0].until = 19 * kRowLength - 3;
  StoredRows folder(options.out, {config_, trained, corpora_of(trained, FindShards::yes), tiny_vocabulary(), 16, 8});
  const Whole there = all_of(folder);
  config_ = trained;
  const Whole here = stream(8);
  EXPECT_EQ(here.batches, (std::vector<std::size_t>{8, 8, 3}));
  EXPECT_EQ(there.batches, here.batches);
  EXPECT_EQ(there.end, here.end);
}

/// Rows are counted twice, by the stream and by the ledger, and each count can be wrong.
class RowsAccount : public StreamEnd {
 protected:
  void SetUp() override { whole_ = stream(1); }
  void expect_refused(const std::function<void(CorpusPosition&)>& change) {
    for (std::uint32_t i = 0; i < 2; ++i) {
      CorpusPosition place = whole_.end->corpora[i];
      change(place);
      EXPECT_THROW(check_account(account_of_rows(place, whole_.ledger, i)), std::logic_error);
    }
  }
  Whole whole_;
};

TEST_F(RowsAccount, IsRefusedIfARecordIsInNoCountOrInTwo) {
  expect_refused([](CorpusPosition& place) { ++place.records.read; });
  expect_refused([](CorpusPosition& place) { --place.records.rejected_records; });
  expect_refused([](CorpusPosition& place) { ++place.tail_documents; });
  expect_refused([](CorpusPosition& place) { ++place.records.held_out; });
}

TEST_F(RowsAccount, IsRefusedIfARowIsMissing) {
  Ledger short_ledger;
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {.threads = 2});
  bool left_out[] = {false, false};
  while (const auto batch = pipeline.next()) {
    const ExampleOrigin& origin = batch->front().examples.front();
    if (origin.documents_begun > 0 && !std::exchange(left_out[origin.corpus], true)) continue;
    short_ledger.add(batch->front());
  }
  for (std::uint32_t i = 0; i < 2; ++i)
    EXPECT_THROW(check_account(account_of_rows(whole_.end->corpora[i], short_ledger, i)), std::logic_error);
}

TEST_F(RowsAccount, HoldsBehindEveryRow) {
  DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {.threads = 2});
  Ledger ledger;
  while (const auto batch = pipeline.next()) {
    ledger.add(batch->front());
    for (std::uint32_t i = 0; i < 2; ++i)
      ASSERT_NO_THROW(check_account(account_of_rows(batch->front().after->corpora[i], ledger, i)));
  }
}

}  // namespace
}  // namespace millrace
