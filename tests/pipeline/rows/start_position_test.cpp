#include "pipeline/rows/start_position.h"

#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr int kRowLength = 64;

/// Three phases of 100 rows over the corpora a, b and c.
class ChangedRun : public testing::Test {
 protected:
  ChangedRun() {
    for (const char* name : {"a", "b", "c"}) {
      std::string lines;
      for (int i = 0; i < 60; ++i)
        lines += "{\"text\": \"" + tiny_text(static_cast<std::uint64_t>(100 * name[0] + i), 1 + i % 50) + "\"}\n";
      folder_.write(std::string(name) + "/part.jsonl", lines);
    }
    then_.seed = 7;
    then_.sequence_length = kRowLength;
    then_.data_directory = folder_.path().string();
    then_.shuffle_block = 16;
    then_.shuffle_tokens = 0;
    Objective causal;
    causal.name = "causal";
    causal.separator = Separator::eos;
    causal.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    then_.phases = {{100 * kRowLength, {"one", "one.toml", {folder_corpus("a", 100 * kPercent)}}, causal},
                    {200 * kRowLength,
                     {"two", "two.toml", {folder_corpus("a", 50 * kPercent), folder_corpus("b", 50 * kPercent)}},
                     causal},
                    {300 * kRowLength, {"three", "three.toml", {folder_corpus("b", 100 * kPercent)}}, causal}};
    now_ = then_;
  }

  struct Run {
    std::vector<std::vector<TokenId>> rows;
    std::vector<std::shared_ptr<const StreamPosition>> after;
    std::map<std::string, int> examples;  ///< Per corpus.
  };
  static Run run(const StreamConfig& config, std::optional<StreamPosition> start = std::nullopt) {
    DataPipeline::Options options;
    options.threads = 2;
    const std::vector<RunCorpus> corpora = corpora_of(config, FindShards::yes);
    DataPipeline pipeline(config, corpora, tiny_vocabulary(), std::move(start), options);
    Run run;
    while (const auto batch = pipeline.next()) {
      run.rows.push_back(batch->front().row.tokens);
      run.after.push_back(batch->front().after);
      for (const ExampleOrigin& origin : batch->front().examples) ++run.examples[corpora[origin.corpus].corpus.name];
    }
    return run;
  }

  std::vector<std::string> changes(std::size_t row) const {
    const Run whole = run(then_);
    return incompatible_changes(then_, now_, *whole.after.at(row));
  }

  TemporaryFolder folder_;
  StreamConfig then_, now_;
};

TEST_F(ChangedRun, KeepsWhatWasEatenAndTakesLaterPhasesFromTheNewRun) {
  const Run whole = run(then_);
  now_.phases[2].mix = {"new", "new.toml", {folder_corpus("c", 75 * kPercent), folder_corpus("a", 25 * kPercent)}};
  const StreamPosition stop = *whole.after.at(149);
  EXPECT_THAT(incompatible_changes(then_, now_, stop), testing::IsEmpty());
  const Run rest = run(now_, stop);
  ASSERT_EQ(rest.rows.size(), 150U);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(rest.rows[i], whole.rows[150 + i]) << "the present phase is as it was";
  EXPECT_NEAR(rest.examples.at("c"), 75, 1);
  const StreamPosition& end = *rest.after.back();
  EXPECT_EQ(end.corpora.at(0).raw_tokens, run(now_).after.back()->corpora.at(0).raw_tokens);
  EXPECT_EQ(run(now_).rows.back(), rest.rows.back()) << "as if the run had been the new one from its beginning";
}

TEST_F(ChangedRun, MayBeLongerOrShorterThanItWas) {
  const Run whole = run(then_);
  now_.phases.push_back({350 * kRowLength, now_.phases[0].mix, now_.phases[0].objective});
  EXPECT_EQ(run(now_, *whole.after.at(249)).rows.size(), 100U);
  now_.phases.resize(2);
  EXPECT_EQ(run(now_, *whole.after.at(149)).rows.size(), 50U);
}

TEST_F(ChangedRun, MayEndItsPresentPhaseElsewhereButNotBehindItself) {
  now_.phases[1].until = 180 * kRowLength;
  EXPECT_THAT(changes(149), testing::IsEmpty());
  now_.phases[1].until = 150 * kRowLength;
  EXPECT_THAT(changes(149), testing::ElementsAre("phase.1.until 12800 -> 9600: 9600 positions are behind already"));
}

TEST_F(ChangedRun, CannotHaveAnotherPast) {
  const std::vector<std::pair<std::function<void(StreamConfig&)>, std::string>> cases{
      {[](StreamConfig& c) { c.seed = 8; }, "seed 7 -> 8"},
      {[](StreamConfig& c) { c.holdout = 0.5; }, "data.holdout 0.001 -> 0.5"},
      {[](StreamConfig& c) { c.shuffle_block = 8; }, "data.shuffle_block 16 -> 8"},
      {[](StreamConfig& c) { c.shuffle_tokens = 8; }, "data.shuffle_tokens 0 -> 8"},
      {[](StreamConfig& c) { c.shuffle_bytes = 8; }, "data.shuffle_bytes 1048576 -> 8"},
      {[](StreamConfig& c) { c.sampling = Sampling::random; }, "data.sampling \"quota\" -> \"random\""},
      {[](StreamConfig& c) { c.max_record_bytes = 8; }, "data.max_record_bytes 67108864 -> 8"},
      {[](StreamConfig& c) { c.phases[0].until += 64; }, "phase.0.until 6400 -> 6464"},
      {[](StreamConfig& c) {
         c.phases[0].mix.corpora[0].filter.keep = {{"lang", {"en"}}};
       },
       "phase.0.mix.corpus.a.keep.lang (unset) -> [\"en\"]"},
      {[](StreamConfig& c) { c.phases[1].mix.corpora[1].patterns = {"c"}; },
       "phase.1.mix.corpus.b.shards [\"b\"] -> [\"c\"]"},
      {[](StreamConfig& c) { c.phases[1].objective.separator = Separator::none; },
       "phase.1.objective.separator \"eos\" -> \"none\""},
      {[](StreamConfig& c) { c.phases.resize(1); }, "phase.1 is gone"},
  };
  const StreamPosition stop = *run(then_).after.at(149);
  for (const auto& [change, complaint] : cases) {
    now_ = then_;
    change(now_);
    EXPECT_THAT(incompatible_changes(then_, now_, stop), testing::ElementsAre(complaint));
  }
  now_ = then_;
  now_.data_directory = "elsewhere";
  now_.on_bad_data = OnBadData::fail;
  now_.phases[0].mix.name = now_.phases[1].objective.name = "another name";
  now_.phases[0].mix.corpora[0].kind = CorpusKind::code;
  EXPECT_THAT(incompatible_changes(then_, now_, stop), testing::IsEmpty());
}

TEST_F(ChangedRun, RefusesAPositionOfAnotherRun) {
  const StreamPosition stop = *run(then_).after.at(249);
  now_.phases.resize(2);
  EXPECT_THROW(run(now_, stop), ConfigError) << "it stands in a phase that is gone";
  now_ = then_;
  now_.phases[0].mix = now_.phases[1].mix = now_.phases[2].mix;
  EXPECT_THROW(run(now_, stop), ConfigError) << "corpus a was read from";
}

/// Every error in a position read from a file names the file's line, whether parsing finds it or opening the shards
/// does.
TEST_F(ChangedRun, TellsOfADamagedPositionWhereItWasRead) {
  const Run whole = run(then_);
  const auto sound = [&](std::size_t row) {
    return JsonValue::parse(json_line(*whole.after.at(row)), {"positions.jsonl", 3, ""}).as<StreamPosition>();
  };
  const auto refusal = [&](const std::function<void(StreamPosition&)>& damage, std::size_t row = 149) {
    StreamPosition position = sound(row);
    damage(position);
    try {
      run(then_, position);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_EQ(refusal([](StreamPosition&) {}), "taken");
  using testing::StartsWith;
  EXPECT_THAT(refusal([](StreamPosition& p) { p.phase = 3; }),
              StartsWith("positions.jsonl:3: phase is 3, but the run has 3 phases, counted from 0"));
  EXPECT_THAT(
      refusal([](StreamPosition& p) { p.corpora[1].phase_examples.push_back(0); }),
      StartsWith("positions.jsonl:3: corpora[1]: phase_examples is a list of 2, but the phase has 1 denoisers"));
  EXPECT_THAT(refusal([](StreamPosition& p) { p.corpora[1].place.lanes.resize(2); }),
              StartsWith("positions.jsonl:3: corpora[1]: lanes is a list of 2, but corpus \"b\" has 1 shards"));
  EXPECT_THAT(refusal([](StreamPosition& p) { p.corpora[1].place.lanes[0].turn = 2; }),
              StartsWith("positions.jsonl:3: corpora[1]: lane 0 is at its shard 2, but it has 1"));
  EXPECT_THAT(
      refusal([](StreamPosition& p) { p.corpora[0].corpus = "d"; }),
      testing::MatchesRegex("positions.jsonl:3: corpora\\[0\\]: [0-9]+ raw tokens of corpus \"d\" were consumed, "
                            "which the run has not; it belongs to another run, or is damaged"));
  EXPECT_THAT(refusal([](StreamPosition& p) { p.corpora[0].place.lanes[0].block = 60; }),
              StartsWith("positions.jsonl:3: corpora[0]: block is 60, of which "));
  EXPECT_THAT(refusal([](StreamPosition& p) { p.corpora[0].place.lanes[0].index = 1000; }),
              StartsWith("positions.jsonl:3: corpora[0]: block is "));
  EXPECT_THAT(refusal([](StreamPosition& p) { p.corpora[0].place.offset = 1'000'000; }),
              testing::MatchesRegex("positions.jsonl:3: corpora\\[0\\]: offset is 1000000, but the record there gives "
                                    "[0-9]+ tokens: .*"));
  EXPECT_THAT(*whole.after.at(149),
              testing::Field(&StreamPosition::source, testing::Field(&PositionSource::place, "")));
}

}  // namespace
}  // namespace millrace
