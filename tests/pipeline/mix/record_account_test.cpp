#include "pipeline/mix/record_account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using Kind = EncodedRecord::Kind;

EncodedRecord item_of(Kind kind) {
  EncodedRecord item;
  item.kind = kind;
  if (kind == Kind::document) item.bytes = 100;
  if (kind == Kind::rejected)
    item.rejects.push_back(rejected_record({"shard", 3, 4, 5, 6}, RejectCause::bad_json, "bad"));
  return item;
}

Reject damage() {
  Reject reject;
  reject.cause = RejectCause::damaged_frame;
  reject.loss = {2, 50};
  return reject;
}

RecordAccount account(OnBadData on_bad_data = OnBadData::skip, double most = 1, const RecordCounts& before = {}) {
  return {on_bad_data, most, "c", before};
}

TEST(TheAccountOfRecords, CountsEachRecordOnceAndEndsNever) {
  RecordAccount records = account();
  const Kind of_a_record[] = {Kind::document, Kind::held_out, Kind::filtered, Kind::skipped, Kind::rejected};
  const Kind of_none[] = {Kind::shard_end, Kind::epoch_end, Kind::corpus_end, Kind::failure};
  for (const Kind kind : of_a_record) EXPECT_EQ(records.add(item_of(kind)).read, 1U);
  for (const Kind kind : of_none) EXPECT_EQ(records.add(item_of(kind)), RecordCounts{});
  const RecordCounts& counts = records.counts();
  EXPECT_EQ(counts.read, 5U);
  EXPECT_EQ(counts.held_out + counts.filtered + counts.skipped + counts.rejected_records, 4U);
  EXPECT_EQ(counts.bytes, 100U);
}

TEST(TheAccountOfRecords, CountsDamageBeforeARecordAsNone) {
  RecordAccount records = account();
  EncodedRecord item = item_of(Kind::document);
  item.rejects = {damage(), damage()};
  const RecordCounts added = records.add(item);
  EXPECT_EQ(added.read, 1U);
  EXPECT_EQ(added.rejected_records, 0U);
  EXPECT_EQ(added.rejected_total(), 2U);
  EXPECT_EQ(added.lost, (Loss{4, 100}));
}

TEST(TheAccountOfRecords, GoesOnWithWhatWasCountedBefore) {
  RecordAccount whole = account(), first = account();
  const Kind kinds[] = {Kind::document, Kind::rejected, Kind::held_out, Kind::document};
  for (const Kind kind : kinds) whole.add(item_of(kind));
  for (int i = 0; i < 2; ++i) first.add(item_of(kinds[i]));
  RecordAccount rest = account(OnBadData::skip, 1, first.counts());
  for (int i = 2; i < 4; ++i) rest.add(item_of(kinds[i]));
  EXPECT_EQ(rest.counts(), whole.counts());
}

TEST(TheAccountOfRecords, JudgesASmallCorpusAtTheEndOfAnEpochOrItself) {
  for (const Kind end : {Kind::epoch_end, Kind::corpus_end}) {
    RecordAccount records = account(OnBadData::skip, 0.1);
    for (const Kind kind : {Kind::document, Kind::rejected, Kind::shard_end}) {
      records.add(item_of(kind));
      EXPECT_FALSE(records.verdict(item_of(kind)));
    }
    EXPECT_THAT(records.verdict(item_of(end)).value_or(""), testing::HasSubstr("max_bad_fraction"));
  }
}

TEST(TheAccountOfRecords, RefusesTheFirstRejectIfBadDataIsToFail) {
  EncodedRecord item = item_of(Kind::rejected);
  EXPECT_FALSE(account(OnBadData::skip).refusal(item));
  EXPECT_FALSE(account(OnBadData::fail).refusal(item_of(Kind::document)));
  item.rejects.insert(item.rejects.begin(), damage());
  EXPECT_THAT(account(OnBadData::fail).refusal(item).value_or(""), testing::HasSubstr("damaged_frame"));
}

}  // namespace
}  // namespace millrace
