#include "pipeline/stream/document_search.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr int kSearchedRowLength = 32;
constexpr std::uint64_t kSearchedRows = 1200;

/// Two corpora of several shards read more than once; every fiftieth row's position is recorded.
class DocumentRows : public testing::Test {
 protected:
  using Document = std::pair<std::uint32_t, std::uint64_t>;  ///< Shard, record.

  DocumentRows() {
    config_.seed = 11;
    config_.sequence_length = kSearchedRowLength;
    config_.data_directory = folder_.path().string();
    config_.shuffle_block = 8;
    config_.shuffle_tokens = 1000;
    Mix mix{"mix", "mix.toml", {}};
    for (const char* name : {"a", "b"}) {
      for (int shard = 0; shard < 4; ++shard) {
        std::string lines;
        for (int i = 0; i < 40; ++i)
          lines += "{\"text\": \"" +
                   tiny_text(static_cast<std::uint64_t>(1000 * name[0] + 100 * shard + i), 1 + i * 7 % 60) + "\"}\n";
        folder_.write(std::string(name) + "/part-" + std::to_string(shard) + ".jsonl", lines);
      }
      Corpus corpus;
      corpus.name = name;
      corpus.share = kShareUnits / 2;
      corpus.patterns = {name};
      mix.corpora.push_back(corpus);
    }
    Objective causal;
    causal.name = "causal";
    causal.separator = Separator::eos;
    causal.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    config_.phases = {{kSearchedRows * kSearchedRowLength, mix, causal}};
    DataPipeline pipeline(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt,
                          {.threads = 2});
    while (const auto batch = pipeline.next()) {
      const StreamRow& row = batch->front();
      for (const ExampleOrigin& origin : row.examples) {
        for (const DocumentSpan& span : origin.documents)
          rows_[origin.corpus][{span.shard, span.record}].insert(row.number);
      }
      if (row.after->row % 50 == 0) recorded_.push_back(*row.after);
    }
  }

  TemporaryFolder folder_;
  StreamConfig config_;
  std::vector<StreamPosition> recorded_;
  std::map<std::uint32_t, std::map<Document, std::set<std::uint64_t>>> rows_;  ///< By corpus.
};

TEST_F(DocumentRows, HoldEveryRowOfEveryDocumentAndFewOthers) {
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const std::vector<ReadingPlan> plans = reading_plans(config_, corpora);
  std::uint64_t replayed = 0, documents = 0;
  for (const auto& [corpus, rows_of_corpus] : rows_) {
    for (const auto& [document, rows] : rows_of_corpus) {
      const std::vector<RowRange> ranges = rows_that_may_hold(corpora[corpus], plans[corpus], document.first,
                                                              document.second, config_.seed, recorded_, kSearchedRows);
      for (const std::uint64_t row : rows) {
        EXPECT_TRUE(std::ranges::any_of(ranges, [&](const RowRange& r) { return r.from <= row && row < r.to; }))
            << "row " << row << " of corpus " << corpus << ", shard " << document.first << ", record "
            << document.second;
      }
      for (const RowRange& range : ranges) {
        EXPECT_EQ(range.start ? range.start->row : 0, range.from);
        replayed += range.to - range.from;
      }
      ++documents;
    }
  }
  EXPECT_GT(rows_[0].begin()->second.size(), 1U) << "several epochs, or this proves little";
  EXPECT_LT(replayed, documents * kSearchedRows / 2) << "and not the whole stream again";
}

TEST_F(DocumentRows, AreAllOfThemWhereNoPositionWasRecorded) {
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const std::vector<RowRange> ranges =
      rows_that_may_hold(corpora[0], reading_plans(config_, corpora)[0], 1, 5, config_.seed, {}, kSearchedRows);
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0].from, 0U);
  EXPECT_EQ(ranges[0].to, kSearchedRows);
  EXPECT_FALSE(ranges[0].start);
}

TEST_F(DocumentRows, AreFoundWithEveryPartOfADocumentThatTheyHold) {
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const SearchedRows searched{config_, corpora, tiny_vocabulary(), recorded_, kSearchedRows, 2};
  for (const Document& document : {Document(0, 3), Document(2, 21), Document(3, 39)}) {
    std::uint64_t made = 0, to_make = 0;
    JobCallbacks callbacks;
    callbacks.progress = [&](const std::string&, std::uint64_t done, std::uint64_t total, const char*) {
      EXPECT_EQ(done, ++made);
      to_make = total;
    };
    const FoundDocument found = find_document(searched, {1, document.first}, document.second, callbacks);
    EXPECT_EQ(found.corpus, "b");
    EXPECT_EQ(found.shard, corpora[1].shards[document.first]);
    std::set<std::uint64_t> rows;
    for (const DocumentHit& hit : found.hits) rows.insert(hit.row);
    EXPECT_EQ(rows, rows_[1][document]);
    EXPECT_EQ(made, to_make) << "and no more rows than were announced";
  }
}

TEST_F(DocumentRows, AreNotMadeForADocumentThatIsInNone) {
  folder_.write("a/part-1.jsonl", "{\"text\": 5}\n{\"text\": \"mill\"}\n");
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const SearchedRows searched{config_, corpora, tiny_vocabulary(), recorded_, kSearchedRows, 2};
  JobCallbacks callbacks;
  callbacks.notice = [](const std::string& line) { FAIL() << line; };
  const FoundDocument found = find_document(searched, {0, 1}, 0, callbacks);
  EXPECT_EQ(found.shard, "a/part-1.jsonl");
  EXPECT_EQ(found.never_read_because.substr(0, 10), "rejected (");
  EXPECT_TRUE(found.hits.empty());
  EXPECT_THROW(find_document(searched, {0, 1}, 2, {}), ConfigError) << "the shard has two records";
}

TEST_F(DocumentRows, AreLookedForInEveryCorpusThatHasTheShard) {
  config_.phases[0].mix.corpora[1].patterns = {"b", "a/part-2.jsonl"};
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const std::vector<ShardOfCorpus> places = corpora_with(corpora, "a/part-2.jsonl");
  ASSERT_EQ(places.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(places[i].corpus, i);
    EXPECT_EQ(corpora[i].shards[places[i].shard], "a/part-2.jsonl");
  }
  EXPECT_THROW(corpora_with(corpora, "a/part-9.jsonl"), ConfigError);
}

TEST_F(DocumentRows, AreNoLongerLookedForOnceTheSearchIsInterrupted) {
  const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::yes);
  const SearchedRows searched{config_, corpora, tiny_vocabulary(), recorded_, kSearchedRows, 2};
  JobCallbacks callbacks;
  callbacks.interrupted = [] { return true; };
  EXPECT_THROW(find_document(searched, {0, 1}, 5, callbacks), Interrupted);
}

}  // namespace
}  // namespace millrace
