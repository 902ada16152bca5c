#include "trainer/run/summary.h"

#include <memory>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json unigram_beside(const Json& overall) {
  TrainState state;
  state.last_evaluation =
      std::make_shared<const Json>(Json{{"step", 1}, {"eval", Json::object()}, {"overall", overall}});
  return summary_json({.state = state, .stream = {}, .corpora = {}, .identity = {}}).at("unigram");
}

TEST(TheUnigramBound, StandsInASummaryWhereTheLastEvaluationHasBothNumbers) {
  const Json both{{"loss", 3.0}, {"unigram_loss", 6.0}, {"tokens", 9}};
  EXPECT_EQ(unigram_beside(both).at("below_bound"), 0.5);
  for (const char* key : {"loss", "unigram_loss"}) {
    Json one = both;
    one[key] = nullptr;
    EXPECT_TRUE(unigram_beside(one).is_null());
    one.erase(key);
    EXPECT_TRUE(unigram_beside(one).is_null());
  }
  EXPECT_TRUE(unigram_beside(nullptr).is_null());
}

}  // namespace
}  // namespace millrace
