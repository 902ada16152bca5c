#include "pipeline/mix_plan.h"

#include <gtest/gtest.h>

#include "pipeline/mix_file.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

/// Causal rows of 101 positions: 100 raw tokens each, but for the separators between documents.
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
    if (!available.empty()) inputs.phases = plan_phases(config_, corpora, tiny_vocabulary());
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

}  // namespace
}  // namespace millrace
