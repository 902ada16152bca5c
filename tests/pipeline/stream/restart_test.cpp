#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <xxhash.h>

#include "pipeline/stream/data_pipeline.h"
#include "stages/philox.h"
#include "tests/json_again.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr int kRestartedRowLength = 64;
constexpr std::uint64_t kRowsOfAPhase = 150;
constexpr std::size_t kRows = 3 * kRowsOfAPhase;
constexpr std::size_t kStops = 20;

/// Three phases: a and b with two denoisers, b and c as causal rows with separators, then all three. Corpus c closes in
/// between.
StreamConfig three_phases(const TemporaryFolder& data) {
  std::uint64_t number = 0;
  for (const std::string name : {"a", "b", "c"}) {
    const std::uint64_t words = name == "c" ? 17 : 53;
    for (int shard = 0; shard < 3; ++shard) {
      std::string lines;
      for (int i = 0; i < 40; ++i, ++number)
        lines += "{\"text\":\"" + tiny_text(number, 1 + static_cast<int>(number % words)) + "\"}\n";
      data.write(name + "/part-" + std::to_string(shard) + ".jsonl", lines + "{\"text\":0}\n");
    }
  }
  Objective two;
  two.denoisers = {{"span", DenoiserKind::span, 0.4, 3, 0.15, "[NLU] "},
                   {"prefix", DenoiserKind::prefix, 0.6, 0, 0, "[S2S] "}};
  Objective causal;
  causal.separator = Separator::eos;
  causal.denoisers = {{"causal", DenoiserKind::causal, 1, 0, 0, ""}};
  Corpus brief = folder_corpus("c", 40 * kPercent);
  brief.max_epochs = 1.5;
  brief.at_end = AtEnd::redistribute;
  StreamConfig config;
  config.seed = 3;
  config.sequence_length = kRestartedRowLength;
  config.data_directory = data.path().string();
  config.shuffle_block = 16;
  config.holdout = 0.05;
  config.max_bad_fraction = 0.1;
  config.phases = {
      {kRowsOfAPhase * kRestartedRowLength,
       {"one", "one.toml", {folder_corpus("a", 30 * kPercent), folder_corpus("b", 70 * kPercent)}},
       two},
      {2 * kRowsOfAPhase * kRestartedRowLength,
       {"two", "two.toml", {folder_corpus("b", 60 * kPercent), brief}},
       causal},
      {3 * kRowsOfAPhase * kRestartedRowLength,
       {"three", "three.toml", {folder_corpus("a", 25 * kPercent), folder_corpus("b", 35 * kPercent), brief}},
       two}};
  return config;
}

/// The same, with several examples in a row, some of which are trimmed, and documents cut down to a chunk.
StreamConfig three_packed_phases(const TemporaryFolder& data) {
  StreamConfig config = three_phases(data);
  for (Phase& phase : config.phases) {
    const bool causal = phase.objective.denoisers[0].kind == DenoiserKind::causal;
    phase.objective.layout = RowLayout::openmoe;
    phase.objective.lengths = causal ? FeatureLengths{0, 24} : FeatureLengths{20, 14};
    phase.objective.max_document_tokens = 40;
    if (causal) phase.objective.attention = AttentionReach::document;
  }
  return config;
}

std::uint64_t hash_of(const StreamRow& row) {
  std::uint64_t hash = row.number;
  const auto add = [&hash](const auto& values) {
    hash = XXH3_64bits_withSeed(values.data(), values.size() * sizeof(values[0]), hash);
  };
  add(row.row.tokens);
  add(row.row.labels);
  add(row.row.loss_weights);
  add(row.row.segment_ids);
  add(row.row.positions);
  add(row.raw_tokens);
  return hash;
}

/// A run so far, with only what a checkpoint stores.
struct RunSoFar {
  std::vector<std::uint64_t> rows;  ///< Their hashes.
  std::string position;
  std::string ledger = json_line(Ledger());
  std::size_t rejects = 0;

  /// Simulates a new process: resumes from the texts until there are so many rows.
  void go_on(const StreamConfig& config, std::size_t until) {
    std::optional<StreamPosition> start;
    if (!position.empty()) start = from_json_text<StreamPosition>(position);
    Ledger consumed = from_json_text<Ledger>(ledger);
    DataPipeline::Options options;
    options.threads = 2;
    DataPipeline pipeline(config, corpora_of(config, FindShards::yes), tiny_vocabulary(), std::move(start), options);
    while (rows.size() < until) {
      const std::optional<Batch> batch = pipeline.next();
      if (!batch) break;
      const StreamRow& row = batch->front();
      rows.push_back(hash_of(row));
      consumed.add(row);
      rejects += row.rejects.size();
      position = json_line(*row.after);
    }
    ledger = json_line(consumed);
  }
};

void expect_that_restarts_change_nothing(const StreamConfig& config) {
  RunSoFar whole;
  whole.go_on(config, kRows);
  ASSERT_EQ(whole.rows.size(), kRows);
  EXPECT_FALSE(from_json_text<StreamPosition>(whole.position).corpora[2].open);

  ItemRng rng(config.shuffle_tokens, Purpose::block_order, 0);
  std::set<std::size_t> stops{kRowsOfAPhase, 2 * kRowsOfAPhase};  // At both phase changes, and elsewhere.
  while (stops.size() < kStops) stops.insert(1 + rng.below(kRows - 1));
  RunSoFar stopped;
  for (const std::size_t stop : stops) {
    stopped.go_on(config, stop);
    ASSERT_EQ(stopped.rows.size(), stop);
  }
  stopped.go_on(config, kRows);
  EXPECT_EQ(stopped.rows, whole.rows);
  EXPECT_EQ(stopped.ledger, whole.ledger);
  EXPECT_EQ(stopped.position, whole.position);
  EXPECT_EQ(stopped.rejects, whole.rejects);
}

/// Without windows, with some in an epoch, and with one for each epoch.
void expect_that_restarts_change_nothing_whatever_the_window(StreamConfig config) {
  for (const std::uint64_t tokens : {0, 900, 1 << 20}) {
    SCOPED_TRACE(tokens);
    config.shuffle_tokens = tokens;
    expect_that_restarts_change_nothing(config);
  }
}

TEST(Restart, TwentyTimesAtRandomRowsOfThreePhasesChangesNeitherRowsNorLedger) {
  const TemporaryFolder data;
  expect_that_restarts_change_nothing_whatever_the_window(three_phases(data));
}

TEST(Restart, TwentyTimesAtRandomRowsOfSeveralExamplesChangesNeitherRowsNorLedger) {
  const TemporaryFolder data;
  expect_that_restarts_change_nothing_whatever_the_window(three_packed_phases(data));
}

/// A corpus that runs out while a row is open closes after that row, so that a resumed stream equals an uninterrupted
/// one: in a later phase the corpus may have enough for a shorter example.
TEST(Restart, AtEveryRowOfManyPhasesInWhichCorporaCloseChangesNoRow) {
  constexpr std::uint64_t kPhases = 30;
  const TemporaryFolder data;
  StreamConfig config = three_packed_phases(data);
  std::vector<Corpus> corpora{folder_corpus("a", 20 * kPercent)};
  for (std::uint64_t i = 0; i < 16; ++i) {
    const std::string name = "brief-" + std::to_string(i);
    data.write(name + "/part.jsonl", "{\"text\":\"" + tiny_text(i, 20 + 7 * static_cast<int>(i)) + "\"}\n");
    Corpus& brief = corpora.emplace_back(folder_corpus(name.c_str(), 5 * kPercent));
    brief.max_epochs = 1;
    brief.at_end = AtEnd::redistribute;
  }
  Phase phase = config.phases[0];
  phase.mix.corpora = corpora;
  // After a corpus closes the counters restart with the long example, which often does not fit where the short one did.
  phase.objective.denoisers = {{"long", DenoiserKind::span, 0.6, 3, 0.5, "[NLG] "},
                               {"short", DenoiserKind::span, 0.4, 3, 0.15, "[NLU] "}};
  config.holdout = 0;
  config.phases.clear();
  for (std::uint64_t i = 0; i < kPhases; ++i) {
    phase.objective.lengths = i % 2 == 0 ? FeatureLengths{20, 20} : FeatureLengths{10, 10};
    phase.objective.max_document_tokens = 0;
    config.phases.push_back(phase);
  }
  for (const int row_length : {54, 60, 66, 72, 78, 84}) {
    config.sequence_length = row_length;
    for (std::uint64_t i = 0; i < kPhases; ++i)
      config.phases[i].until = (i + 1) * static_cast<std::uint64_t>(row_length);
    RunSoFar whole;
    whole.go_on(config, kPhases);
    ASSERT_EQ(whole.rows.size(), kPhases);
    RunSoFar stopped;
    for (std::size_t row = 1; row <= kPhases; ++row) stopped.go_on(config, row);
    EXPECT_EQ(stopped.rows, whole.rows);
    EXPECT_EQ(stopped.ledger, whole.ledger);
    EXPECT_EQ(stopped.position, whole.position);
  }
}

}  // namespace
}  // namespace millrace
