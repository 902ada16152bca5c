#include "pipeline/export/preprocess.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/export/stored_rows.h"
#include "pipeline/formats/formats.h"
#include "pipeline/formats/row_writer.h"
#include "pipeline/json_text.h"
#include "pipeline/plan/token_budget.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A run of one corpus of forty documents, and its export.
class Preprocessing : public testing::Test {
 protected:
  Preprocessing() {
    std::string lines;
    for (std::uint64_t i = 0; i < 40; ++i) lines += "{\"text\": \"" + tiny_text(i, 30) + "\"}\n";
    folder_.write("data/one/part.jsonl", lines);
    config_.name = "tiny";
    config_.sequence_length = 16;
    config_.data_directory = (folder_.path() / "data").string();
    config_.holdout = 0;
    Phase phase;
    phase.until = 100 * 16;
    phase.mix.corpora = {folder_corpus("one", kShareUnits)};
    phase.objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    config_.phases = {phase};
  }

  fs::path out(const std::string& name = "out") const { return folder_.path() / name; }
  PreprocessResult run(const std::string& format, std::optional<std::uint64_t> tokens,
                       const std::string& name = "out") {
    PreprocessOptions options;
    options.out = out(name);
    options.format = format;
    options.tokens = tokens;
    options.threads = 2;
    if (row_format(format) != nullptr) options.part_bytes = 4000;
    return preprocess(config_, tiny_vocabulary(), options, {});
  }
  static std::vector<Damage> check(const fs::path& folder) {
    return check_output(folder, [] { return false; });
  }
  StoredRows rows(std::uint64_t wanted, int batch_rows = 1) {
    return {out(), {config_, config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), wanted, batch_rows}};
  }
  /// Rewrites the manifest as another program might have written it.
  template <class Change>
  void change_manifest(const Change& change) {
    ExportManifest manifest = read_output_manifest(out());
    change(manifest);
    std::ofstream(out() / kOutputManifest) << json_page(manifest);
  }
  std::string refusal() {
    try {
      rows(10);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "none";
  }

  TemporaryFolder folder_;
  StreamConfig config_;
};

TEST_F(Preprocessing, RowsAreTheStreamsWithTheirStories) {
  run("rows", 50 * 16);
  StoredRows read = rows(50);
  DataPipeline stream(config_, corpora_of(config_, FindShards::yes), tiny_vocabulary(), std::nullopt, {.threads = 1});
  for (int i = 0; i < 50; ++i) {
    const StreamRow mine = read.next()->front();
    const StreamRow other = stream.next()->front();
    EXPECT_EQ(mine.number, other.number);
    EXPECT_EQ(mine.row.tokens, other.row.tokens);
    EXPECT_EQ(mine.row.labels, other.row.labels);
    EXPECT_EQ(mine.row.loss_weights, other.row.loss_weights);
    EXPECT_EQ(mine.row.segment_ids, other.row.segment_ids);
    EXPECT_EQ(mine.row.positions, other.row.positions);
    EXPECT_EQ(mine.raw_tokens, other.raw_tokens);
    ASSERT_EQ(mine.examples.size(), other.examples.size());
    EXPECT_EQ(mine.examples[0].documents.size(), other.examples[0].documents.size());
    EXPECT_EQ(mine.examples[0].loss_tokens, other.examples[0].loss_tokens);
    EXPECT_EQ(*mine.after, *other.after);
  }
  EXPECT_FALSE(read.next());
}

TEST_F(Preprocessing, AnyRowIsReadAtAnyTimeAndTheLastBatchMayBeIncomplete) {
  run("rows", 50 * 16);
  StoredRows read = rows(50, 4);
  for (const std::uint64_t row : {44U, 3U, 30U}) {
    read.go_to(row);
    EXPECT_EQ(read.next()->back().number, row + 3);
  }
  read.go_to(47);
  EXPECT_EQ(read.next()->size(), 3U);
  EXPECT_FALSE(read.next());
}

TEST_F(Preprocessing, RowsOfAnotherStreamVersionAreRefused) {
  run("rows", 50 * 16);
  EXPECT_EQ(refusal(), "none");
  change_manifest([](ExportManifest& manifest) { manifest.identity.stream_version = kStreamVersion - 1; });
  EXPECT_THAT(refusal(), HasSubstr("of the stream, this program makes version"));
}

TEST_F(Preprocessing, RowsServeWheneverTheLastPhaseEnds) {
  run("rows", 50 * 16);
  config_.phases.back().until = 90 * 16;
  EXPECT_EQ(refusal(), "none");
  config_.phases.back().objective.separator = Separator::eos;
  EXPECT_THAT(refusal(), HasSubstr("phase 1 objective: + separator = \"eos\""));
}

TEST_F(Preprocessing, RowsOfOtherShardsAreRefused) {
  run("rows", 50 * 16);
  folder_.write("data/one/part.jsonl", "{\"text\": \"river\"}\n");
  EXPECT_THAT(refusal(), HasSubstr("part.jsonl: changed"));
}

TEST_F(Preprocessing, StoredRowsAreHeldAgainstTheShardsThatAreHandedOnAndLookForNone) {
  run("rows", 50 * 16);
  const std::vector<RunCorpus> found = corpora_of(config_, FindShards::yes);
  folder_.write("data/one/later.jsonl", "{\"text\": \"river\"}\n");
  EXPECT_THAT(refusal(), HasSubstr("later.jsonl: extra"));
  StoredRows stored(out(), {config_, config_, found, tiny_vocabulary(), 10, 1});
  EXPECT_EQ(stored.next()->front().number, 0U);
}

TEST_F(Preprocessing, AStreamThatEndsEarlyGivesTheRowsThereAre) {
  config_.phases[0].mix.corpora[0].max_epochs = 1;
  config_.phases[0].mix.corpora[0].at_end = AtEnd::stop;
  config_.phases[0].until = 100'000;
  const PreprocessResult result = run("rows", 100'000);
  EXPECT_TRUE(result.manifest.stream_ended);
  EXPECT_GT(result.manifest.rows, 50U);
  EXPECT_LT(result.manifest.rows, 200U);
  EXPECT_NO_THROW(rows(6000));
  EXPECT_TRUE(check(out()).empty());
}

TEST_F(Preprocessing, CheckHoldsCountsAgainstTheManifest) {
  for (const DocumentFormat& documents : document_formats()) {
    const std::string format = documents.name;
    fs::remove_all(out());
    run(format, std::nullopt);
    EXPECT_TRUE(check(out()).empty());
    change_manifest([](ExportManifest& manifest) { ++manifest.accounts[0].documents; });
    EXPECT_EQ(check(out()).empty(), false) << format;
    change_manifest([](ExportManifest& manifest) { --manifest.accounts[0].documents; });
    change_manifest([](ExportManifest& manifest) { ++manifest.accounts[0].raw_tokens; });
    EXPECT_EQ(check(out()).empty(), false) << format;
  }
  for (const RowFormat& of_rows : row_formats()) {
    const std::string format = of_rows.name;
    fs::remove_all(out());
    run(format, 50 * 16);
    EXPECT_TRUE(check(out()).empty());
    change_manifest([](ExportManifest& manifest) { ++manifest.rows; });
    EXPECT_EQ(check(out()).empty(), false) << format;
  }
}

TEST_F(Preprocessing, CheckFindsIdsOutsideTheVocabulary) {
  const auto expect_found = [&](const std::string& format, std::optional<std::uint64_t> tokens) {
    fs::remove_all(out());
    run(format, tokens);
    change_manifest([](ExportManifest& manifest) { manifest.identity.vocabulary_size = 20; });
    const std::vector<Damage> damage = check(out());
    ASSERT_FALSE(damage.empty()) << format;
    EXPECT_THAT(damage[0].what, testing::ContainsRegex("byte [0-9]+: id [0-9]+ is outside the vocabulary of 20"));
  };
  for (const DocumentFormat& format : document_formats()) expect_found(format.name, std::nullopt);
  for (const RowFormat& format : row_formats()) expect_found(format.name, 50 * 16);
}

TEST_F(Preprocessing, ACorpusWithoutADocumentIsRefused) {
  folder_.write("data/one/part.jsonl", "\n");
  EXPECT_THROW(run("megatron", std::nullopt), DataError);
}

TEST_F(Preprocessing, CorporaThatNoFileCanBeCalledAfterAreRefused) {
  for (const char* name : {"a/b", "preprocess.json"}) {
    config_.phases[0].mix.corpora[0].name = name;
    EXPECT_THROW(run("megatron", std::nullopt), ConfigError) << name;
  }
}

TEST(TokenBudgets, AreSharesOverTheWholeRunRoundedDown) {
  StreamConfig config;
  Phase first;
  first.until = 1000;
  first.mix.corpora = {folder_corpus("a", 70 * kPercent), folder_corpus("b", 30 * kPercent)};
  Phase second = first;
  second.until = 3000;
  second.mix.corpora = {folder_corpus("b", 50 * kPercent), folder_corpus("c", 50 * kPercent)};
  config.phases = {first, second};
  const std::vector<RunCorpus> corpora = corpora_of(config, FindShards::no);
  EXPECT_EQ(token_budgets(config, corpora, 3000), (std::vector<std::uint64_t>{700, 1300, 1000}));
  EXPECT_EQ(token_budgets(config, corpora, 1), (std::vector<std::uint64_t>{0, 0, 0}));
  EXPECT_EQ(token_budgets(config, corpora, 3'000'000'000'000'000)[0], 700'000'000'000'000U);
}

}  // namespace
}  // namespace millrace
