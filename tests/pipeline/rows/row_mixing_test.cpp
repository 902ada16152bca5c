#include "pipeline/rows/row_mixing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "stages/philox.h"
#include "tests/property.h"

namespace millrace {
namespace {

constexpr std::uint64_t kTokens = 10;  ///< Of a span.

/// A document: shard, record.
using Name = std::pair<std::uint32_t, std::uint64_t>;

ExampleOrigin example_of(std::uint32_t corpus, const std::vector<Name>& documents, std::uint64_t tokens = kTokens) {
  ExampleOrigin origin;
  origin.corpus = corpus;
  for (const auto& [shard, record] : documents) origin.documents.push_back({shard, record, 0, tokens, 0, 0});
  return origin;
}

StreamRow row_of(std::uint64_t number, std::vector<ExampleOrigin> examples) {
  StreamRow row;
  row.number = number;
  row.examples = std::move(examples);
  return row;
}

DocumentProperty by_shard() {
  return {"shard", [](std::uint32_t shard, std::uint64_t) { return shard; }, {}};
}

/// Rows of one corpus with one example each, of one document each.
RowMixing rows_with(const std::vector<Name>& documents, std::uint64_t batch_rows, std::uint64_t window_rows,
                    std::uint64_t first_row = 0) {
  RowMixing mixing(batch_rows, window_rows);
  for (const Name& document : documents) mixing.add(row_of(first_row++, {example_of(0, {document})}));
  return mixing;
}

double pairs_found(const RowMixing& mixing, std::uint32_t corpus = 0) {
  return mixing.measure(corpus, {}).pairs->found;
}

WindowSpread spread_of(const RowMixing& mixing) {
  return mixing.measure(0, {by_shard()}).spreads.at(0);
}

TEST(TwoRowsOfABatch, ArePairOnceHoweverManyDocumentsTheyShare) {
  RowMixing mixing(4, 4);
  mixing.add(row_of(0, {example_of(0, {{0, 1}, {0, 2}}), example_of(0, {{0, 2}, {0, 3}})}));
  mixing.add(row_of(1, {example_of(0, {{0, 1}, {0, 2}, {0, 3}})}));
  mixing.add(row_of(2, {example_of(0, {{1, 1}})}));  // Another shard's record.
  mixing.add(row_of(3, {example_of(0, {{0, 3}})}));
  EXPECT_EQ(pairs_found(mixing), 3);  // Rows 0 and 1, 0 and 3, 1 and 3.
  EXPECT_EQ(mixing.measure(0, {}).documents, 4U);
  EXPECT_EQ(mixing.measure(0, {}).examples, 5U);
}

TEST(TwoRowsOfABatch, AreNoPairOfAnotherCorpusOrOfOneRowOrOfNoTokens) {
  RowMixing mixing(4, 4);
  mixing.add(row_of(0, {example_of(0, {{0, 1}}), example_of(0, {{0, 1}})}));
  mixing.add(row_of(1, {example_of(1, {{0, 1}})}));
  mixing.add(row_of(2, {example_of(0, {{0, 1}}, 0)}));
  EXPECT_EQ(mixing.corpora(), (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(pairs_found(mixing, 0), 0);
  EXPECT_EQ(pairs_found(mixing, 1), 0);
}

TEST(Batches, AreCountedFromTheStreamsFirstRow) {
  EXPECT_EQ(pairs_found(rows_with({{0, 1}, {0, 1}, {0, 1}, {0, 1}}, 4, 4)), 6);
  EXPECT_EQ(pairs_found(rows_with({{0, 1}, {0, 1}, {0, 1}, {0, 1}}, 2, 4)), 2);
  EXPECT_EQ(pairs_found(rows_with({{0, 1}, {0, 1}, {0, 1}, {0, 1}}, 2, 4, 7)), 1) << "rows 7, 8 and 9, 10";
}

TEST(RowsWithoutBatches, HaveNoPairs) {
  RowMixing mixing(std::nullopt, 1);
  mixing.add(row_of(0, {example_of(0, {{0, 1}})}));
  EXPECT_FALSE(mixing.measure(0, {by_shard()}).pairs);
  EXPECT_EQ(mixing.measure(0, {by_shard()}).spreads.size(), 1U);
}

TEST(BooksReadOneByOne, ShareFarMoreThanIfShuffled) {
  std::vector<Name> documents;
  for (std::uint64_t row = 0; row < 1000; ++row) documents.emplace_back(0, row / 10);
  const BesideShuffled pairs = *rows_with(documents, 10, 100).measure(0, {}).pairs;
  EXPECT_EQ(pairs.found, 100 * 45);
  // Of 1000 rows' 45 * 100 pairs in batches, 9 of 999 others are of the same book.
  EXPECT_NEAR(pairs.shuffled, 4500 * 9.0 / 999, 5);
  EXPECT_NEAR(*pairs.ratio(), 111, 15);
}

TEST(APerfectShuffle, HasARatioOfAboutOne) {
  std::vector<Name> documents;
  ItemRng rng(8, Purpose::generation, 0);
  for (const std::uint32_t place : rng.permutation(4000)) documents.emplace_back(place / 1000, place % 1000 / 20);
  const CorpusMixing mixing = rows_with(documents, 50, 400).measure(0, {by_shard()});
  EXPECT_GT(mixing.pairs->shuffled, 400);
  EXPECT_NEAR(*mixing.pairs->ratio(), 1, 0.15);
  const WindowDistances& distances = mixing.spreads[0].from_rows;
  EXPECT_NEAR(*distances.mean.ratio(), 1, 0.5);
  EXPECT_NEAR(*distances.max.ratio(), 1, 0.7);
}

TEST(APerfectShuffle, KeepsHowManyExamplesOfEachCorpusARowHas) {
  // The pairs of one batch are the same however examples move, if every row has one. Were another corpus's places
  // used, or a row given two, they would not be.
  RowMixing mixing(1000, 1000);
  for (std::uint64_t row = 0; row < 300; ++row)
    mixing.add(row_of(row, {example_of(0, {{0, row / 7}}), example_of(1, {{0, row % 5}})}));
  for (const std::uint32_t corpus : {0U, 1U}) {
    const BesideShuffled pairs = *mixing.measure(corpus, {}).pairs;
    EXPECT_GT(pairs.found, 0);
    EXPECT_EQ(pairs.shuffled, pairs.found);
  }
}

TEST(APerfectShuffle, IsTheSameEachTime) {
  std::vector<Name> documents;
  for (std::uint64_t row = 0; row < 200; ++row) documents.emplace_back(row / 50, row / 4);
  const auto measured = [&] { return rows_with(documents, 8, 20).measure(0, {by_shard()}); };
  EXPECT_EQ(measured().pairs->shuffled, measured().pairs->shuffled);
  EXPECT_EQ(measured().spreads[0].from_rows.max.shuffled, measured().spreads[0].from_rows.max.shuffled);
}

TEST(AWindow, OfAConstantMixHasDistanceZero) {
  std::vector<Name> documents;
  for (std::uint64_t row = 0; row < 40; ++row) documents.emplace_back(row % 4, row);
  const WindowSpread spread = spread_of(rows_with(documents, 4, 8));
  EXPECT_EQ(spread.values, 4U);
  EXPECT_EQ(spread.windows.size(), 5U);
  EXPECT_NEAR(spread.from_rows.max.found, 0, 1e-12);
  EXPECT_GT(spread.from_rows.mean.shuffled, 0.05);
}

TEST(AWindow, OfOneShardInFourHasDistanceThreeQuarters) {
  std::vector<Name> documents;
  for (std::uint64_t row = 0; row < 40; ++row) documents.emplace_back(row / 10, row);
  const WindowSpread spread = spread_of(rows_with(documents, 4, 10));
  EXPECT_NEAR(spread.from_rows.mean.found, 0.75, 1e-12);
  EXPECT_NEAR(spread.from_rows.max.found, 0.75, 1e-12);
}

TEST(AWindow, WeighsRawTokens) {
  RowMixing mixing(2, 1);
  mixing.add(row_of(0, {example_of(0, {{0, 0}}, 30)}));
  mixing.add(row_of(1, {example_of(0, {{1, 0}}, 10)}));
  const WindowDistances distances = spread_of(mixing).from_rows;
  EXPECT_NEAR(distances.mean.found, (0.25 + 0.75) / 2, 1e-12);
  EXPECT_NEAR(distances.max.found, 0.75, 1e-12);
}

TEST(AWindow, CountsOnlyIfItIsWholeAndHasTokensOfTheCorpus) {
  RowMixing mixing(2, 2);
  for (std::uint64_t row = 100; row < 109; ++row)  // Rows 104 and 105 are a window without.
    mixing.add(row_of(row, {example_of(row == 104 || row == 105 ? 1 : 0, {{0, 0}})}));
  std::vector<std::uint64_t> ends;
  for (const RowWindow& window : spread_of(mixing).windows) ends.push_back(window.end_row);
  EXPECT_EQ(ends, (std::vector<std::uint64_t>{102, 104, 108}));
  RowMixing none(2, 20);
  none.add(row_of(0, {example_of(0, {{0, 0}})}));
  EXPECT_EQ(spread_of(none).windows.size(), 0U);
}

TEST(AWindow, IsComparedWithTheEpochToo) {
  std::vector<Name> documents;
  for (std::uint64_t row = 0; row < 40; ++row) documents.emplace_back(row % 2, row);
  const RowMixing mixing = rows_with(documents, 4, 8);
  DocumentProperty shard = by_shard();
  shard.epoch = {100, 100, 200, 0};
  const WindowDistances epoch = *mixing.measure(0, {shard}).spreads[0].from_epoch;
  EXPECT_NEAR(epoch.mean.found, 0.5, 1e-12) << "half of the epoch is in a shard that was not met";
  EXPECT_GE(epoch.mean.shuffled, 0.5 - 1e-12);
  shard.epoch = {1};  // A shard that the epoch does not know.
  EXPECT_NEAR(mixing.measure(0, {shard}).spreads[0].from_epoch->mean.found, 0.5, 1e-12);
  EXPECT_FALSE(mixing.measure(0, {by_shard()}).spreads[0].from_epoch);
}

/// Rows as drawn, and the same measured as the words say it.
struct DrawnRows {
  std::vector<StreamRow> rows;
  std::uint64_t batch_rows = 1;
  std::uint64_t window_rows = 1;

  std::set<Name> documents(std::size_t row, std::uint32_t corpus) const {
    std::set<Name> all;
    for (const ExampleOrigin& origin : rows[row].examples) {
      if (origin.corpus != corpus) continue;
      for (const DocumentSpan& span : origin.documents) all.emplace(span.shard, span.record);
    }
    return all;
  }

  int pairs(std::uint32_t corpus) const {
    int pairs = 0;
    for (std::size_t a = 0; a < rows.size(); ++a) {
      for (std::size_t b = a + 1; b < rows.size(); ++b) {
        if (rows[a].number / batch_rows != rows[b].number / batch_rows) continue;
        const std::set<Name> first = documents(a, corpus), second = documents(b, corpus);
        pairs += std::ranges::any_of(first, [&](const Name& name) { return second.contains(name); });
      }
    }
    return pairs;
  }

  /// Shares of the shards in rows [from, to); empty without tokens.
  std::map<std::uint32_t, double> shares(std::size_t from, std::size_t to, std::uint32_t corpus) const {
    std::map<std::uint32_t, double> tokens;
    double all = 0;
    for (std::size_t row = from; row < to; ++row) {
      for (const ExampleOrigin& origin : rows[row].examples) {
        if (origin.corpus != corpus) continue;
        for (const DocumentSpan& span : origin.documents) {
          tokens[span.shard] += static_cast<double>(span.to - span.from);
          all += static_cast<double>(span.to - span.from);
        }
      }
    }
    for (auto& [shard, share] : tokens) share /= all;
    return tokens;
  }

  std::vector<double> distances(std::uint32_t corpus) const {
    std::vector<double> all;
    std::map<std::uint32_t, double> whole = shares(0, rows.size(), corpus);
    for (std::size_t from = 0; from + window_rows <= rows.size(); from += window_rows) {
      std::map<std::uint32_t, double> window = shares(from, from + window_rows, corpus);
      if (window.empty()) continue;
      double distance = 0;
      for (const auto& [shard, share] : whole) distance += std::abs(share - window[shard]) / 2;
      all.push_back(distance);
    }
    return all;
  }
};

DrawnRows drawn_rows() {
  DrawnRows drawn;
  drawn.batch_rows = *rc::gen::inRange<std::uint64_t>(1, 12);
  drawn.window_rows = *rc::gen::inRange<std::uint64_t>(1, 12);
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::generation, 0);
  const std::uint64_t first = rng.below(30), rows = 1 + rng.below(40), documents = 1 + rng.below(12);
  for (std::uint64_t row = 0; row < rows; ++row) {
    std::vector<ExampleOrigin> examples;
    for (std::uint64_t count = rng.below(4); count > 0; --count) {
      std::vector<Name> names;
      for (std::uint64_t spans = 1 + rng.below(3); spans > 0; --spans)
        names.emplace_back(rng.below(3), rng.below(documents));
      examples.push_back(example_of(static_cast<std::uint32_t>(rng.below(2)), names, 1 + rng.below(50)));
    }
    drawn.rows.push_back(row_of(first + row, std::move(examples)));
  }
  return drawn;
}

TEST(Mixing, IsWhatTheWordsSay) {
  expect_holds(300, [] {
    const DrawnRows drawn = drawn_rows();
    RowMixing mixing(drawn.batch_rows, drawn.window_rows);
    for (const StreamRow& row : drawn.rows) mixing.add(row);
    for (const std::uint32_t corpus : mixing.corpora()) {
      const CorpusMixing found = mixing.measure(corpus, {by_shard()});
      RC_ASSERT(found.pairs->found == drawn.pairs(corpus));
      const std::vector<double> distances = drawn.distances(corpus);
      const WindowSpread& spread = found.spreads.at(0);
      RC_ASSERT(spread.windows.size() == distances.size());
      if (distances.empty()) continue;
      double sum = 0;
      for (const double distance : distances) sum += distance;
      RC_ASSERT(std::abs(spread.from_rows.mean.found - sum / static_cast<double>(distances.size())) < 1e-9);
      RC_ASSERT(std::abs(spread.from_rows.max.found - std::ranges::max(distances)) < 1e-9);
      double shuffled = 0;
      for (std::size_t i = 0; i < distances.size(); ++i) {
        RC_ASSERT(std::abs(spread.windows[i].from_rows.found - distances[i]) < 1e-9);
        shuffled += spread.windows[i].from_rows.shuffled;
      }
      RC_ASSERT(std::abs(spread.from_rows.mean.shuffled - shuffled / static_cast<double>(distances.size())) < 1e-9);
    }
  });
}

}  // namespace
}  // namespace millrace
