#include "pipeline/rows/mixing_record.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "tests/property.h"

namespace millrace {
namespace {

BesideShuffled drawn_figure() {
  return {*rc::gen::inRange(0, 1000) / 7.0, *rc::gen::inRange(0, 1000) / 7.0};
}

WindowDistances drawn_distances() {
  return {drawn_figure(), drawn_figure()};
}

MixingRecord drawn_record() {
  const auto count = [](int most) { return static_cast<std::uint64_t>(*rc::gen::inRange(0, most)); };
  MixingRecord record{count(1000), count(100'000), {}, 1 + count(1000), kPerfectShuffles, {}};
  if (*rc::gen::arbitrary<bool>()) record.batch_rows = 1 + count(100);
  for (std::uint64_t corpora = count(3); corpora > 0; --corpora) {
    NamedMixing corpus{"corpus " + std::to_string(corpora), {count(100), count(100), {}, {}}};
    if (record.batch_rows) corpus.mixing.pairs = drawn_figure();
    for (std::uint64_t spreads = count(3); spreads > 0; --spreads) {
      WindowSpread spread{"lang", count(9), {}, drawn_distances(), {}};
      const bool has_epoch = *rc::gen::arbitrary<bool>();
      if (has_epoch) spread.from_epoch = drawn_distances();
      for (std::uint64_t windows = count(4); windows > 0; --windows) {
        spread.windows.push_back({count(10'000), drawn_figure(), {}});
        if (has_epoch) spread.windows.back().from_epoch = drawn_figure();
      }
      corpus.mixing.spreads.push_back(spread);
    }
    record.corpora.push_back(corpus);
  }
  return record;
}

TEST(AMixingRecord, IsReadAsItWasWritten) {
  expect_holds(200, [] {
    const std::string text = json_line(drawn_record());
    RC_ASSERT(json_line(JsonValue::parse(text, {"mixing.json", 0, ""}).as<MixingRecord>()) == text);
  });
}

/// 10,000 rows of one corpus.
std::vector<std::string> advice_on(const CorpusMixing& mixing, std::uint64_t rows = 10'000) {
  return mixing_advice({0, rows, 128, 1000, kPerfectShuffles, {{"prose", mixing}}});
}

TEST(MixingAdvice, IsGivenWhereThereAreTwiceThePairsOfAShuffleAndMoreThanChance) {
  const auto is_advised = [](double found, double shuffled) {
    return !advice_on({100, 100, BesideShuffled{found, shuffled}, {}}).empty();
  };
  EXPECT_FALSE(is_advised(200, 100));
  EXPECT_FALSE(is_advised(230, 100));  // Three standard deviations of 200 are 42.
  EXPECT_TRUE(is_advised(250, 100));
  EXPECT_FALSE(is_advised(3, 1));
  EXPECT_TRUE(is_advised(20, 1));
  EXPECT_FALSE(is_advised(1, 0));
  EXPECT_TRUE(is_advised(20, 0));
  const std::string advice = advice_on({100, 100, BesideShuffled{500, 100}, {}}).at(0);
  EXPECT_EQ(
      advice,
      "prose: 500 pairs of rows share a document, 100.0 in a perfect shuffle (5.0 times): raise shuffle_tokens in "
      "[data], so that a window holds more documents");
}

TEST(MixingAdvice, IsGivenWhereWindowsAreTwiceAsFarAsAShuffles) {
  const auto far_by = [](double rows, double epoch) {
    WindowSpread spread{"lang", 9, {}, {{rows, 0.1}, {rows, 0.1}}, {}};
    spread.from_epoch = {{epoch, 0.1}, {epoch, 0.1}};
    return spread;
  };
  const auto advice = [&](double rows, double epoch) { return advice_on({9, 9, {}, {far_by(rows, epoch)}}); };
  EXPECT_TRUE(advice(0.2, 0.2).empty());
  EXPECT_EQ(advice(0.3, 0.3).size(), 1U);  // Once is enough.
  EXPECT_NE(advice(0.3, 0.3).at(0).find("0.300 from all these rows by lang, 0.100 in a perfect shuffle (3.0 times)"),
            std::string::npos);
  EXPECT_NE(advice(0.1, 0.4).at(0).find("0.400 from the epoch"), std::string::npos);
  EXPECT_TRUE(advice_on({9, 9, {}, {far_by(0.3, 0.3)}}, 1999).empty());  // One window is the whole itself.
  EXPECT_TRUE(advice_on({9, 9, {}, {{"shard", 2, {}, {{0.005, 0.001}, {0.01, 0.001}}, {}}}}).empty());
}

}  // namespace
}  // namespace millrace
