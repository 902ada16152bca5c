#include "pipeline/plan/mix_forecast.h"

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

/// Two corpora; the second has four times as much text.
class Forecast : public testing::Test {
 protected:
  Forecast() {
    for (const int documents : {20, 80}) {
      std::string& lines = lines_.emplace_back();
      for (int i = 0; i < documents; ++i)
        lines += "{\"text\": \"" + tiny_text(static_cast<std::uint64_t>(i), 30) + "\"}\n";
    }
    folder_.write("a/part.jsonl", lines_[0]);
    folder_.write("b/part.jsonl", lines_[1]);
    Phase phase;
    phase.until = 64'000;
    phase.mix.corpora = {folder_corpus("a", 25 * kPercent), folder_corpus("b", 75 * kPercent)};
    phase.objective.name = "causal";
    phase.objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
    request_.stream.phases = {phase};
    request_.stream.sequence_length = 32;
    request_.stream.holdout = 0;
    request_.stream.data_directory = folder_.path().string();
    request_.horizon = 32'000;
  }

  TemporaryFolder folder_;
  std::vector<std::string> lines_;
  ForecastRequest request_;
};

TEST_F(Forecast, IsArithmeticOnSharesWithoutData) {
  request_.stream.data_directory.clear();
  const MixForecast forecast = forecast_mix(request_, nullptr, {});
  EXPECT_TRUE(forecast.bytes.empty());
  EXPECT_EQ(forecast.available(0), nullptr);
  EXPECT_DOUBLE_EQ(forecast.share(1), 0.75);
  EXPECT_DOUBLE_EQ(forecast.plan.corpora[0].positions, 8'000);
  EXPECT_FALSE(forecast.epochs(forecast.plan.phases[0], 0));
}

TEST_F(Forecast, WeighsTheShardsWithoutAVocabulary) {
  const MixForecast forecast = forecast_mix(request_, nullptr, {});
  EXPECT_EQ(forecast.bytes, (std::vector<std::uint64_t>{lines_[0].size(), lines_[1].size()}));
  EXPECT_TRUE(forecast.inputs.available.empty());
  EXPECT_FALSE(forecast.manifest);
}

TEST_F(Forecast, TellsEpochsWithDataAndVocabulary) {
  const MixForecast forecast = forecast_mix(request_, &tiny_vocabulary(), {});
  std::uint64_t tokens = 0;
  for (std::uint64_t i = 0; i < 20; ++i) tokens += tiny_vocabulary().encode(tiny_text(i, 30)).size();
  EXPECT_DOUBLE_EQ(forecast.available(0)->tokens, static_cast<double>(tokens));
  const PhaseTake& taken = forecast.plan.phases.at(0);
  EXPECT_DOUBLE_EQ(*forecast.epochs(taken, 0), *taken.raw_tokens[0] / static_cast<double>(tokens));
}

TEST_F(Forecast, EndsWhereItIsInterrupted) {
  EXPECT_THROW(forecast_mix(request_, &tiny_vocabulary(), {.interrupted = [] { return true; }}), Interrupted);
}

}  // namespace
}  // namespace millrace
