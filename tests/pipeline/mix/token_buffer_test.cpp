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
  item.place.at.index = number;
  item.where.record = number;
  for (int i = 0; i < length; ++i) item.tokens.push_back(static_cast<TokenId>(number * 100) + i);
  return item;
}

EncodedRecord other(std::uint64_t number, Kind kind) {
  EncodedRecord item;
  item.kind = kind;
  item.place.at.index = number;
  if (kind == Kind::rejected) item.rejects.push_back({{"shard", number, 0, 0}, RejectCause::bad_json, "reason", 0});
  return item;
}

TokenBuffer::Limits limits(std::uint64_t ahead) {
  TokenBuffer::Limits limits;
  limits.ahead = ahead;
  return limits;
}

TokenBuffer buffer(std::uint64_t ahead = 1000) {
  return TokenBuffer("corpus", {}, {}, true, limits(ahead));
}

std::vector<std::size_t> spans_begun(const TokenBuffer::Cut& cut) {
  std::vector<std::size_t> spans;
  for (const TokenBuffer::Begun& document : cut.begun) spans.push_back(document.span);
  return spans;
}

/// The credit that comes free if an item arrives.
std::uint64_t credit_on_arrival(TokenBuffer& b, EncodedRecord item) {
  b.arrive(std::move(item));
  return b.take_credit();
}

/// The credit that comes free if so many ids are cut.
std::uint64_t credit_on_cut(TokenBuffer& b, std::uint64_t length) {
  b.cut(length, std::nullopt);
  return b.take_credit();
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
  EXPECT_THAT(spans_begun(cut), testing::ElementsAre(1));
  EXPECT_EQ(b.place().lanes[0].index, 1U);
  EXPECT_EQ(b.place().offset, 1U);
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
  EXPECT_EQ(b.place().lanes[0].index, 0U);
  EXPECT_EQ(b.place().offset, 2U);
  TokenBuffer restarted("corpus", b.place(), {}, true, limits(1000));
  restarted.arrive(document(0, 2));
  EXPECT_EQ(restarted.cut(1, kEos).segment.tokens, (std::vector<TokenId>{kEos}));
  EXPECT_EQ(restarted.place().records.read, 1U);
}

TEST(TokenBuffer, CountsWhatItPassedOverWithTheDocumentBehindIt) {
  TokenBuffer b = buffer();
  b.arrive(other(0, Kind::rejected));
  b.arrive(other(1, Kind::held_out));
  b.arrive(document(2, 2));
  b.arrive(other(3, Kind::held_out));
  TokenBuffer::Cut cut = b.cut(2, std::nullopt);
  ASSERT_EQ(cut.begun.size(), 1U);
  Told& told = cut.begun[0].told;
  EXPECT_EQ(told.take_rejects().size(), 1U);
  EXPECT_EQ(told.records().read, 3U);
  EXPECT_EQ(told.records().held_out, 1U);
  EXPECT_EQ(told.records().rejected_total(), 1U);
  EXPECT_EQ(b.place().records, told.records());
}

TEST(TokenBuffer, KeepsTheCreditOfADocumentThatEntersWhenItIsFullUntilThereIsRoom) {
  TokenBuffer b = buffer(10);
  EXPECT_EQ(credit_on_arrival(b, document(0, 10)), 1U);
  EXPECT_EQ(credit_on_arrival(b, document(1, 5)), 0U);
  EXPECT_EQ(credit_on_arrival(b, document(2, 5)), 0U);
  EXPECT_EQ(credit_on_cut(b, 5), 0U);
  EXPECT_EQ(credit_on_cut(b, 5), 0U);
  EXPECT_EQ(credit_on_cut(b, 1), 2U);
}

TEST(TokenBuffer, GivesBackAsMuchCreditAsAnItemWasLent) {
  TokenBuffer b = buffer(10);
  const auto lent = [](EncodedRecord item, std::uint64_t credit) {
    item.credit = credit;
    return item;
  };
  EXPECT_EQ(credit_on_arrival(b, lent(document(0, 10), 1000)), 1000U);
  EXPECT_EQ(credit_on_arrival(b, lent(document(1, 5), 30)), 0U);
  EXPECT_EQ(credit_on_arrival(b, lent(other(2, Kind::held_out), 7)), 7U);
  EXPECT_EQ(credit_on_arrival(b, lent(document(3, 15), 500)), 0U);
  EXPECT_EQ(credit_on_cut(b, 16), 30U);
  EXPECT_EQ(credit_on_cut(b, 4), 0U);
  EXPECT_EQ(credit_on_cut(b, 1), 500U);
}

TEST(TokenBuffer, GivesTheCreditOfAHugeDocumentBackBeforeItsEnd) {
  TokenBuffer b = buffer(10);
  EXPECT_EQ(credit_on_arrival(b, document(0, 10)), 1U);
  EXPECT_EQ(credit_on_arrival(b, document(1, 90)), 0U);
  EXPECT_EQ(credit_on_cut(b, 90), 0U);
  EXPECT_EQ(credit_on_cut(b, 1), 1U);
}

TEST(TokenBuffer, FailsWhereTooManyRecordsAreBadAndNotBefore) {
  TokenBuffer::Limits strict = limits(1'000'000);
  strict.max_bad_fraction = 0.001;
  TokenBuffer b("corpus", {}, {}, true, strict);
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
  const TokenBuffer::Tail tail = b.take_tail();
  EXPECT_EQ(tail.tokens, 2U);
  EXPECT_EQ(tail.documents, 0U) << "an example has the document's first token";
}

EncodedRecord in_epoch(std::uint64_t epoch, EncodedRecord item) {
  item.place.epoch = epoch;
  return item;
}

TEST(TokenBuffer, TellsWhatCanBeCutBeforeTheNextEpoch) {
  TokenBuffer b = buffer();
  b.arrive(document(0, 5));
  EXPECT_FALSE(b.supply_of_epoch(kEos).is_whole);
  b.arrive(in_epoch(1, other(1, Kind::epoch_end)));
  b.arrive(in_epoch(1, document(0, 7)));
  EXPECT_TRUE(b.supply_of_epoch(kEos).is_whole);
  EXPECT_EQ(b.supply_of_epoch(kEos).ids, 6U);
  EXPECT_EQ(b.supply_of_epoch(std::nullopt).ids, 5U);
  b.cut(7, kEos);
  EXPECT_EQ(b.supply_of_epoch(kEos).ids, 7U) << "of the second epoch";
  EXPECT_FALSE(b.supply_of_epoch(kEos).is_whole);
}

class TokenBufferWithSegments : public testing::Test {
 protected:
  /// Documents of 10, 10 and 4 ids, of which segments of 6 were cut.
  std::vector<TokenBuffer::Cut> segments(std::optional<TokenId> separator) {
    for (std::uint64_t i = 0; i < 2; ++i) buffer_.arrive(document(i, 10));
    buffer_.arrive(document(2, 4));
    std::vector<TokenBuffer::Cut> cuts;
    for (int i = 0; i < 3; ++i) cuts.push_back(buffer_.cut(6, separator));
    return cuts;
  }
  std::vector<TokenId> cut(std::uint64_t length, std::optional<TokenId> separator) {
    EXPECT_EQ(buffer_.supply(length, separator), TokenBuffer::Supply::enough);
    EXPECT_EQ(buffer_.supply(length + 1, separator), TokenBuffer::Supply::wait);
    return buffer_.cut(length, separator).segment.tokens;
  }
  TokenBuffer buffer_ = buffer();
};

TEST_F(TokenBufferWithSegments, GivesTheSameIdsAgainIfAllArePutBack) {
  buffer_.put_back(segments(kEos));
  EXPECT_EQ(cut(27, kEos), (std::vector<TokenId>{0,   1,   2,   3,   4,   5,   6,   7,    8,   9,   kEos, 100, 101, 102,
                                                 103, 104, 105, 106, 107, 108, 109, kEos, 200, 201, 202,  203, kEos}));
}

TEST_F(TokenBufferWithSegments, PutsASeparatorWhereASegmentIsMissing) {
  std::vector<TokenBuffer::Cut> cuts = segments(kEos);  // 0-5, 6-9 eos 100, 101-106
  cuts.erase(cuts.begin() + 1);
  buffer_.put_back(std::move(cuts));
  EXPECT_EQ(cut(22, kEos), (std::vector<TokenId>{0,   1,   2,   3,   4,   5,    kEos, 101, 102, 103, 104,
                                                 105, 106, 107, 108, 109, kEos, 200,  201, 202, 203, kEos}));
}

TEST_F(TokenBufferWithSegments, GoesOnBehindTheLastSegmentAsBehindADocumentIfItIsMissing) {
  std::vector<TokenBuffer::Cut> cuts = segments(kEos);
  cuts.pop_back();
  buffer_.put_back(std::move(cuts));
  EXPECT_EQ(cut(22, kEos), (std::vector<TokenId>{0,   1,    2,   3,   4,   5,    6,   7,   8,   9,   kEos,
                                                 100, kEos, 107, 108, 109, kEos, 200, 201, 202, 203, kEos}));
}

TEST_F(TokenBufferWithSegments, DropsASeparatorWhoseDocumentWasGiven) {
  for (std::uint64_t i = 0; i < 2; ++i) buffer_.arrive(document(i, 6));
  std::vector<TokenBuffer::Cut> cuts;
  cuts.push_back(buffer_.cut(4, kEos));
  EXPECT_EQ(buffer_.cut(2, kEos).segment.tokens, (std::vector<TokenId>{4, 5}));
  EXPECT_EQ(buffer_.place().offset, 6U) << "only the separator is to come";
  buffer_.put_back(std::move(cuts));
  EXPECT_EQ(cut(12, kEos), (std::vector<TokenId>{0, 1, 2, 3, kEos, 100, 101, 102, 103, 104, 105, kEos}));
}

TEST_F(TokenBufferWithSegments, TellsOfADocumentWithItsFirstTokenWhereverThatIsCut) {
  buffer_.arrive(other(9, Kind::rejected));
  std::vector<TokenBuffer::Cut> cuts = segments(std::nullopt);  // 0-5, 6-9 100 101, 102-107
  const RecordCounts told = cuts[0].begun.at(0).told.records();
  EXPECT_EQ(told.read, 2U);
  cuts.erase(cuts.begin() + 1);
  const RecordCounts read = buffer_.place().records;
  buffer_.put_back(std::move(cuts));
  EXPECT_TRUE(buffer_.has_pieces());
  TokenBuffer::Cut again = buffer_.cut(12, std::nullopt);
  EXPECT_FALSE(buffer_.has_pieces());
  ASSERT_THAT(spans_begun(again), testing::ElementsAre(0)) << "the document of 100 began in the segment that was given";
  EXPECT_EQ(again.begun[0].told.records(), told);
  EXPECT_EQ(again.begun[0].told.take_rejects().size(), 1U);
  EXPECT_EQ(buffer_.place().records, read);
}

TEST_F(TokenBufferWithSegments, NamesADocumentsSpanOnceThoughItsPiecesAreTwo) {
  std::vector<TokenBuffer::Cut> cuts = segments(std::nullopt);
  buffer_.put_back(std::move(cuts));
  const TokenBuffer::Cut again = buffer_.cut(20, std::nullopt);
  ASSERT_EQ(again.segment.documents.size(), 2U);
  EXPECT_EQ(again.segment.documents[0].to, 10U);
  EXPECT_EQ(again.segment.documents[1].to, 10U);
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
