#include "pipeline/mix/token_buffer.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "stages/errors.h"
#include "stages/philox.h"
#include "tests/property.h"

namespace millrace {
namespace {

using Kind = EncodedRecord::Kind;
constexpr TokenId kEos = 1;

/// Item `number` of a single block: a document of `length` ids number*100, number*100+1, ...
EncodedRecord document(std::uint64_t number, int length) {
  EncodedRecord item;
  item.place.index = number;
  item.where.record = number;
  for (int i = 0; i < length; ++i) item.tokens.push_back(static_cast<TokenId>(number * 100) + i);
  return item;
}

EncodedRecord other(std::uint64_t number, Kind kind) {
  EncodedRecord item;
  item.kind = kind;
  item.place.index = number;
  if (kind == Kind::rejected) item.rejects.push_back({{"shard", number, 0, 0}, RejectCause::bad_json, "reason", 0});
  return item;
}

TokenBuffer buffer(std::uint64_t full_at = 1000) {
  TokenBuffer::Limits limits;
  limits.full_at = full_at;
  return TokenBuffer("corpus", CorpusPosition{}, limits);
}

TEST(TokenBuffer, NamesTheSpansOfTheDocumentsItCut) {
  TokenBuffer b = buffer();
  b.arrive(document(0, 3));
  b.arrive(document(1, 3));
  b.cut(2, std::nullopt);
  const TokenBuffer::Cut cut = b.cut(2, std::nullopt);
  ASSERT_EQ(cut.segment.documents.size(), 2U);
  EXPECT_EQ(cut.segment.documents[0].from, 2U);
  EXPECT_EQ(cut.segment.documents[0].to, 3U);
  EXPECT_EQ(cut.segment.documents[1].record, 1U);
  EXPECT_EQ(cut.documents_begun, 1U);
  EXPECT_EQ(b.position().index, 1U);
  EXPECT_EQ(b.position().offset, 1U);
}

TEST(TokenBuffer, PutsTheSeparatorAfterEachDocumentAndCountsItNotAsRaw) {
  TokenBuffer b = buffer();
  b.arrive(document(0, 2));
  b.arrive(document(1, 2));
  EXPECT_EQ(b.supply(6, kEos), TokenBuffer::Supply::enough);
  EXPECT_EQ(b.supply(7, kEos), TokenBuffer::Supply::wait);
  EXPECT_EQ(b.cut(2, kEos).segment.tokens, (std::vector<TokenId>{0, 1}));
  const TokenBuffer::Cut cut = b.cut(4, kEos);
  EXPECT_EQ(cut.segment.tokens, (std::vector<TokenId>{kEos, 100, 101, kEos}));
  EXPECT_EQ(cut.segment.raw_tokens, 2U);
}

TEST(TokenBuffer, RemembersThatOnlyASeparatorIsStillToCome) {
  TokenBuffer b = buffer();
  b.arrive(document(0, 2));
  b.cut(2, kEos);
  EXPECT_EQ(b.position().index, 0U);
  EXPECT_EQ(b.position().offset, 2U);
  TokenBuffer::Limits limits;
  limits.full_at = 1000;
  TokenBuffer restarted("corpus", b.position(), limits);
  restarted.arrive(document(0, 2));
  EXPECT_EQ(restarted.cut(1, kEos).segment.tokens, (std::vector<TokenId>{kEos}));
  EXPECT_EQ(restarted.position().records.read, 1U);
}

TEST(TokenBuffer, CountsWhatItPassedOverWithTheDocumentBehindIt) {
  TokenBuffer b = buffer();
  b.arrive(other(0, Kind::rejected));
  b.arrive(other(1, Kind::held_out));
  b.arrive(document(2, 2));
  b.arrive(other(3, Kind::held_out));
  const TokenBuffer::Cut cut = b.cut(2, std::nullopt);
  EXPECT_EQ(cut.rejects.size(), 1U);
  EXPECT_EQ(b.position().records.read, 3U);
  EXPECT_EQ(b.position().records.held_out, 1U);
  EXPECT_EQ(b.position().records.rejected_total(), 1U);
}

TEST(TokenBuffer, KeepsTheCreditOfADocumentThatEntersWhenItIsFullUntilThereIsRoom) {
  TokenBuffer b = buffer(10);
  EXPECT_EQ(b.arrive(document(0, 10)), 1U);
  EXPECT_EQ(b.arrive(document(1, 5)), 0U);
  EXPECT_EQ(b.arrive(document(2, 5)), 0U);
  EXPECT_EQ(b.cut(5, std::nullopt).credit, 0U);
  EXPECT_EQ(b.cut(5, std::nullopt).credit, 0U);
  EXPECT_EQ(b.cut(1, std::nullopt).credit, 2U);
}

TEST(TokenBuffer, GivesBackAsMuchCreditAsAnItemWasLent) {
  TokenBuffer b = buffer(10);
  const auto lent = [](EncodedRecord item, std::uint64_t credit) {
    item.credit = credit;
    return item;
  };
  EXPECT_EQ(b.arrive(lent(document(0, 10), 1000)), 1000U);
  EXPECT_EQ(b.arrive(lent(document(1, 5), 30)), 0U);
  EXPECT_EQ(b.arrive(lent(other(2, Kind::held_out), 7)), 7U);
  EXPECT_EQ(b.arrive(lent(document(3, 15), 500)), 0U);
  EXPECT_EQ(b.cut(16, std::nullopt).credit, 30U);
  EXPECT_EQ(b.cut(4, std::nullopt).credit, 0U);
  EXPECT_EQ(b.cut(1, std::nullopt).credit, 500U);
}

TEST(TokenBuffer, GivesTheCreditOfAHugeDocumentBackBeforeItsEnd) {
  TokenBuffer b = buffer(10);
  b.arrive(document(0, 10));
  EXPECT_EQ(b.arrive(document(1, 90)), 0U);
  b.cut(90, std::nullopt);
  EXPECT_EQ(b.cut(1, std::nullopt).credit, 1U);
}

TEST(TokenBuffer, FailsWhereTooManyRecordsAreBadAndNotBefore) {
  TokenBuffer::Limits limits;
  limits.full_at = 1'000'000;
  limits.max_bad_fraction = 0.001;
  TokenBuffer b("corpus", CorpusPosition{}, limits);
  for (std::uint64_t i = 0; i < 9'980; ++i) b.arrive(document(i, 1));
  for (std::uint64_t i = 9'980; i < 10'000; ++i) b.arrive(other(i, Kind::rejected));
  b.arrive(document(10'000, 50));
  EXPECT_EQ(b.supply(9'980, std::nullopt), TokenBuffer::Supply::enough);
  EXPECT_THROW(b.supply(9'981, std::nullopt), DataError);
}

TEST(TokenBuffer, FailsIfAWholeEpochHasNothingToTrainOn) {
  TokenBuffer b = buffer();
  b.arrive(other(0, Kind::held_out));
  b.arrive(other(1, Kind::epoch_end));
  EXPECT_THROW(b.supply(1, std::nullopt), DataError);
}

TEST(TokenBuffer, CountsWhatIsLeftAtTheCorpussEndAsTail) {
  TokenBuffer b = buffer();
  b.arrive(document(0, 5));
  b.arrive(other(1, Kind::corpus_end));
  b.cut(3, std::nullopt);
  EXPECT_EQ(b.supply(3, std::nullopt), TokenBuffer::Supply::ended);
  b.close();
  EXPECT_EQ(b.position().tail_tokens, 2U);
  EXPECT_EQ(b.position().tail_documents, 0U) << "an example has the document's first token";
  EXPECT_FALSE(b.position().open);
}

void cut_the_ids_that_arrived_whatever_the_lengths_of_the_cuts() {
  const auto lengths = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 40)));
  std::vector<EncodedRecord> items;
  std::vector<TokenId> expected;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    items.push_back(document(i, lengths[i]));
    expected.insert(expected.end(), items.back().tokens.begin(), items.back().tokens.end());
  }
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  TokenBuffer b = buffer(60);
  for (const EncodedRecord& item : items) b.arrive(item);
  std::vector<TokenId> cut;
  while (cut.size() < expected.size()) {
    const std::uint64_t length = std::min<std::uint64_t>(1 + rng.below(30), expected.size() - cut.size());
    const std::vector<TokenId> ids = b.cut(length, std::nullopt).segment.tokens;
    cut.insert(cut.end(), ids.begin(), ids.end());
  }
  RC_ASSERT(cut == expected);
}

TEST(TokenBuffer, CutsTheIdsThatArrivedWhateverTheLengthsOfTheCuts) {
  expect_holds(300, cut_the_ids_that_arrived_whatever_the_lengths_of_the_cuts);
}

TEST(TokenBuffer, CutsTheIdsThatArrivedWhateverTheLengthsOfTheCutsLong) {
  expect_holds(10'000, cut_the_ids_that_arrived_whatever_the_lengths_of_the_cuts);
}

}  // namespace
}  // namespace millrace
