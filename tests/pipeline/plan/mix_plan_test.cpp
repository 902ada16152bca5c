#include "pipeline/plan/mix_plan.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/config/mix_file.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/pipeline/stream/serial_stream.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

/// Causal rows of 101 positions: 100 raw tokens each, minus the separators between documents.
class Plan : public testing::Test {
 protected:
  void add_phase(std::uint64_t until, std::vector<Corpus> corpora) {
    Objective objective;
    objective.name = "causal";
    objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    config_.phases.push_back({until, {"mix", "mix.toml", std::move(corpora)}, objective});
    config_.sequence_length = 101;
  }

  MixPlan plan(double horizon, std::vector<double> available = {}) const {
    const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::no);
    PlanInputs inputs;
    if (!available.empty()) inputs.phases = prepare_phases(config_, corpora, tiny_vocabulary());
    for (const double tokens : available) inputs.available.push_back(AvailableTokens{tokens, 0, 0, {}});
    return plan_mix(config_, corpora, horizon, inputs);
  }

  StreamConfig config_;
};

TEST_F(Plan, CountsPositionsByShareAcrossPhases) {
  add_phase(1000, {folder_corpus("a", 30 * kPercent), folder_corpus("b", 70 * kPercent)});
  add_phase(3000, {folder_corpus("b", 50 * kPercent), folder_corpus("c", 50 * kPercent)});
  const MixPlan all = plan(3000);
  EXPECT_DOUBLE_EQ(all.corpora[0].positions, 300);
  EXPECT_DOUBLE_EQ(all.corpora[1].positions, 1700);
  EXPECT_DOUBLE_EQ(all.corpora[2].positions, 1000);
  EXPECT_FALSE(all.corpora[0].raw_tokens) << "without a vocabulary nobody knows what a row holds";
  EXPECT_DOUBLE_EQ(plan(500).corpora[2].positions, 0);
  EXPECT_DOUBLE_EQ(plan(4000).corpora[2].positions, 1500) << "beyond its end the last phase goes on";
}

TEST_F(Plan, CountsTheExamplesThatARowHolds) {
  add_phase(101'000, {folder_corpus("a", 25 * kPercent), folder_corpus("b", 75 * kPercent)});
  config_.phases[0].objective.layout = RowLayout::openmoe;
  config_.phases[0].objective.lengths = {0, 30};  // Of 30 raw tokens each, three a row of 101.
  EXPECT_NEAR(*plan(101'000, {1e9, 1e9}).corpora[1].raw_tokens, 0.75 * 90'000, 1e-6);
}

TEST_F(Plan, TellsEpochsAndWhenACorpusWasSeenOnce) {
  add_phase(101'000, {folder_corpus("a", 25 * kPercent), folder_corpus("b", 75 * kPercent)});
  const MixPlan all = plan(101'000, {10'000, 1'000'000});
  EXPECT_NEAR(*all.corpora[0].raw_tokens, 25'000, 1e-6);
  EXPECT_NEAR(*all.corpora[0].epochs, 2.5, 1e-9);
  EXPECT_NEAR(*all.corpora[0].exhausted_at, 40'400, 1e-6);
  EXPECT_FALSE(all.corpora[1].exhausted_at);
}

TEST_F(Plan, RedistributesWhatAClosedCorpusLeaves) {
  add_phase(101'000, {folder_corpus("a", 50 * kPercent, 2, AtEnd::redistribute), folder_corpus("b", 20 * kPercent),
                      folder_corpus("c", 30 * kPercent)});
  const MixPlan all = plan(101'000, {5'000, 1e9, 1e9});
  EXPECT_NEAR(*all.corpora[0].raw_tokens, 10'000, 1e-6);
  EXPECT_NEAR(*all.corpora[0].exhausted_at, 20'200, 1e-6);
  EXPECT_NEAR(*all.corpora[1].raw_tokens, 4'000 + 80'000 * 0.4, 1e-6);
  EXPECT_NEAR(*all.corpora[2].raw_tokens, 6'000 + 80'000 * 0.6, 1e-6);
  EXPECT_NEAR(all.positions, 101'000, 1e-6);
}

TEST_F(Plan, EndsWhereACorpusStopsTheStream) {
  add_phase(101'000, {folder_corpus("a", 50 * kPercent, 1, AtEnd::stop), folder_corpus("b", 50 * kPercent)});
  const MixPlan all = plan(101'000, {5'000, 1e9});
  EXPECT_NEAR(all.positions, 10'100, 1e-6);
  EXPECT_NEAR(*all.corpora[1].raw_tokens, 5'000, 1e-6);
}

/// Rows that hold several examples each, of five corpora and denoisers of three lengths, one of them random.
class PlanOfPackedRows : public testing::Test {
 protected:
  PlanOfPackedRows() {
    Objective objective = three_denoisers(20 * kPercent, 30 * kPercent, Separator::eos);
    objective.layout = RowLayout::openmoe;
    objective.lengths = {40, 24};
    config_ = config_over(
        "nowhere",
        {folder_corpus("a", 50 * kPercent), folder_corpus("b", 30 * kPercent), folder_corpus("c", 10 * kPercent),
         folder_corpus("d", 7 * kPercent), folder_corpus("e", 3 * kPercent)},
        objective);
    config_.sequence_length = 160;
    config_.shuffle_tokens = 10'000;  // A window is full before the first row, and which order it has is nothing here.
  }

  /// Raw tokens by corpus in the stream's first rows, from documents of 10 to 70 tokens.
  std::vector<double> consumed(std::uint64_t rows) const {
    ItemRng rng(3, Purpose::generation, 0);
    SerialStream stream(config_, [&](std::size_t) -> std::optional<EncodedRecord> {
      EncodedRecord item;
      item.tokens.assign(10 + rng.below(61), 300);
      return item;
    });
    std::vector<double> raw_tokens(5, 0);
    for (std::optional<MixedSegment> ticket = stream.next(); ticket->row < rows; ticket = stream.next())
      raw_tokens[ticket->origin.corpus] += static_cast<double>(ticket->origin.raw_tokens);
    return raw_tokens;
  }

  std::vector<double> planned(std::uint64_t rows) const {
    const std::vector<RunCorpus> corpora = corpora_of(config_, FindShards::no);
    const PlanInputs inputs{prepare_phases(config_, corpora, tiny_vocabulary()),
                            std::vector<AvailableTokens>(5, {1e12, 0, 40, {}})};
    std::vector<double> raw_tokens;
    for (const CorpusPlan& corpus : plan_mix(config_, corpora, static_cast<double>(rows * 160), inputs).corpora)
      raw_tokens.push_back(corpus.raw_tokens.value());
    return raw_tokens;
  }

  StreamConfig config_;
};

double sum(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

TEST_F(PlanOfPackedRows, IsWhatIsEatenToTheTokenWhereNoSeparatorsAre) {
  config_.phases[0].objective.separator = Separator::none;
  for (const Sampling sampling : {Sampling::quota, Sampling::random}) {
    config_.sampling = sampling;
    EXPECT_THAT(planned(300), testing::Pointwise(testing::DoubleNear(1e-6), consumed(300)));
  }
}

TEST_F(PlanOfPackedRows, IsWithinOnePercentOfWhatIsEaten) {
  for (const Sampling sampling : {Sampling::quota, Sampling::random}) {
    config_.sampling = sampling;
    for (const std::uint64_t rows : {1000U, 6000U})
      EXPECT_NEAR(sum(planned(rows)) / sum(consumed(rows)), 1, 0.01) << rows << " rows";
  }
}

TEST_F(PlanOfPackedRows, HasTheSharesOfTheMixBeyondWhatIsPlayed) {
  const std::vector<double> raw_tokens = planned(100'000);
  const std::vector<double> shares{0.5, 0.3, 0.1, 0.07, 0.03};
  for (std::size_t i = 0; i < shares.size(); ++i) EXPECT_NEAR(raw_tokens[i] / sum(raw_tokens), shares[i], 1e-9);
}

}  // namespace
}  // namespace millrace
