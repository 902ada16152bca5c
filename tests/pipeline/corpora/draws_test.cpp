#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/mix/record_to_tokens.h"
#include "stages/philox.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr int kItems = 40'000;
constexpr double kPart = 0.1;

/// A random decision for an item, with probability kPart.
struct Decision {
  std::string name;
  std::function<bool(std::uint64_t item)> falls;
};

std::string text_of(std::uint64_t item) {
  return fmt::format("text number {}", item);
}

/// All decisions: every purpose, the holdout hash, and the fractional epochs as they are asked for.
std::vector<Decision> decisions() {
  std::vector<Decision> all;
  for (const Purpose purpose : kPurposes)
    all.push_back({fmt::format("purpose {}", static_cast<int>(purpose)),
                   [purpose](std::uint64_t item) { return ItemRng(5, purpose, item_of({item})).uniform() < kPart; }});
  all.push_back({"held out", [](std::uint64_t item) { return is_held_out(text_of(item), kPart); }});
  for (const double epochs : {kPart, 1 + kPart})
    all.push_back({fmt::format("{} epochs", epochs), [epochs](std::uint64_t item) {
                     return !is_left_out(text_of(item), static_cast<std::uint64_t>(epochs),
                                         {.holdout = kPart, .max_epochs = epochs, .seed = 5, .corpus = 77});
                   }});
  return all;
}

TEST(NoTwoPurposes, ShareADraw) {
  std::vector<std::vector<char>> fallen;
  const std::vector<Decision> all = decisions();
  for (const Decision& decision : all) {
    std::vector<char>& outcomes = fallen.emplace_back();
    for (std::uint64_t item = 0; item < kItems; ++item) outcomes.push_back(decision.falls(item) ? 1 : 0);
  }
  // Independent draws coincide for kPart^2 of the items, within six standard deviations.
  const double expected = kItems * kPart * kPart;
  const double most_off = 6 * std::sqrt(expected);
  for (std::size_t a = 0; a < all.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      int both = 0;
      for (std::size_t item = 0; item < kItems; ++item) both += fallen[a][item] & fallen[b][item];
      EXPECT_NEAR(both, expected, most_off) << all[a].name << " and " << all[b].name;
    }
  }
}

TEST(NoTwoPurposes, HaveTheSameNumber) {
  std::set<std::uint32_t> numbers;
  for (const Purpose purpose : kPurposes) numbers.insert(static_cast<std::uint32_t>(purpose));
  EXPECT_EQ(numbers.size(), kPurposes.size());
}

EncodedRecord::Kind fate(const std::string& text, std::uint64_t epoch, const DocumentChoice& choice) {
  ReadRecord item;
  item.place.epoch = epoch;
  item.record = Document{{"shard", 0, 1, 0, text.size()}, text, {}};
  return record_to_tokens(std::move(item), tiny_vocabulary(), choice).kind;
}

TEST(AFractionalEpoch, TakesItsPartOfWhatIsNotHeldOut) {
  for (const double part : {0.1, 0.5, 0.9}) {
    const DocumentChoice choice{.holdout = part, .max_epochs = 2 + part, .seed = 9, .corpus = 3};
    std::array<int, 2> taken{};
    int trained = 0;
    for (std::uint64_t i = 0; i < 4000; ++i) {
      const std::string text = tiny_text(i, 6) + std::to_string(i);
      if (is_held_out(text, part)) {
        EXPECT_EQ(fate(text, 2, choice), EncodedRecord::Kind::held_out);
        continue;
      }
      ++trained;
      EXPECT_EQ(fate(text, 1, choice), EncodedRecord::Kind::document) << "whole epochs leave nothing out";
      for (std::size_t k = 0; k < 2; ++k) {
        const DocumentChoice other{.holdout = part, .max_epochs = 2 + part, .seed = 9 + k, .corpus = 3};
        taken[k] += fate(text, 2, other) == EncodedRecord::Kind::document;
      }
    }
    for (const int count : taken) EXPECT_NEAR(count, part * trained, 6 * std::sqrt(part * trained));
  }
}

TEST(AFractionalEpoch, IsDrawnAnewForEachSeedCorpusAndEpoch) {
  const auto set_of = [](const DocumentChoice& choice, std::uint64_t epoch) {
    std::vector<bool> left_out;
    for (std::uint64_t i = 0; i < 200; ++i) left_out.push_back(is_left_out(text_of(i), epoch, choice));
    return left_out;
  };
  const auto base = set_of({.max_epochs = 0.5, .seed = 1, .corpus = 1}, 0);
  EXPECT_EQ(set_of({.max_epochs = 0.5, .seed = 1, .corpus = 1}, 0), base);
  EXPECT_NE(set_of({.max_epochs = 0.5, .seed = 2, .corpus = 1}, 0), base);
  EXPECT_NE(set_of({.max_epochs = 0.5, .seed = 1, .corpus = 2}, 0), base);
  EXPECT_NE(set_of({.max_epochs = 1.5, .seed = 1, .corpus = 1}, 1), base);
}

TEST(TheHeldOutSet, IsTheHashesBelowItsPart) {
  // xxh3_64 of these texts, whatever else changes.
  EXPECT_TRUE(is_held_out("", 0.176));  // 0x2d06800538d394c2
  EXPECT_FALSE(is_held_out("", 0.175));
}

}  // namespace
}  // namespace millrace
