#include "pipeline/mix/document_chunk.h"

#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/pipeline/stream/serial_stream.h"

namespace millrace {
namespace {

EncodedRecord document_of(int length, std::uint64_t record) {
  EncodedRecord item;
  item.where.record = record;
  item.tokens.resize(static_cast<std::size_t>(length));
  std::iota(item.tokens.begin(), item.tokens.end(), 0);
  return item;
}

TEST(DocumentChunk, KeepsShortDocumentsAndEverythingWithoutALimit) {
  for (const auto& [length, limit] : {std::pair(100, 100), std::pair(7, 100), std::pair(100, 0)}) {
    EncodedRecord item = document_of(length, 0);
    keep_one_chunk(item, static_cast<std::uint64_t>(limit), 1, 2);
    EXPECT_EQ(item.tokens.size(), static_cast<std::size_t>(length));
    EXPECT_EQ(item.dropped_tokens, 0U);
  }
}

TEST(DocumentChunk, KeepsOneOfTheAlignedChunksOfALongDocumentAndCountsTheRest) {
  std::map<std::uint64_t, int> times;
  constexpr int kDocuments = 4000;
  for (int record = 0; record < kDocuments; ++record) {
    EncodedRecord item = document_of(250, static_cast<std::uint64_t>(record));
    keep_one_chunk(item, 100, 1, 2);
    ++times[item.first_token];
    ASSERT_EQ(item.tokens.size(), item.first_token == 200 ? 50U : 100U);
    ASSERT_EQ(item.tokens.front(), static_cast<TokenId>(item.first_token));
    ASSERT_EQ(item.tokens.size() + item.dropped_tokens, 250U);
  }
  ASSERT_EQ(times.size(), 3U);
  for (const std::uint64_t first : {0U, 100U, 200U}) {
    const double deviation = std::sqrt(kDocuments * (1.0 / 3) * (2.0 / 3));
    EXPECT_NEAR(times[first], kDocuments / 3.0, 4 * deviation);
  }
}

TEST(DocumentChunk, IsDrawnAnewInEachEpoch) {
  int others = 0;
  for (std::uint64_t record = 0; record < 100; ++record) {
    EncodedRecord first = document_of(1000, record), second = first, again = first;
    second.place.epoch = 1;
    keep_one_chunk(first, 10, 1, 2);
    keep_one_chunk(second, 10, 1, 2);
    keep_one_chunk(again, 10, 1, 2);
    EXPECT_EQ(first.first_token, again.first_token);
    others += first.first_token != second.first_token;
  }
  EXPECT_GT(others, 90);
}

/// One document of 90 ids per turn, of which a chunk of 40 is read.
TEST(DocumentChunk, IsNamedByItsPlaceInTheDocumentAndCountedInThePosition) {
  StreamConfig config = config_over("", {folder_corpus("a", kShareUnits)}, three_denoisers(300'000'000, 300'000'000));
  std::uint64_t number = 0, dropped = 0;
  SerialStream stream(config, [&](std::size_t) -> std::optional<EncodedRecord> {
    EncodedRecord item = document_of(90, number++);
    keep_one_chunk(item, 40, 5, 6);
    return item;
  });
  std::uint64_t documents = 0;
  for (int example = 0; example < 100; ++example) {
    const std::optional<MixedSegment> ticket = stream.next();
    for (const DocumentSpan& span : ticket->segment.documents) {
      for (std::uint64_t i = span.from; i < span.to; ++i)
        ASSERT_EQ(ticket->segment.tokens[span.at + i - span.from], static_cast<TokenId>(i));
    }
    documents += ticket->origin.documents_begun;
    const RecordCounts& records = ticket->after->corpora[0].records;
    ASSERT_EQ(records.read, documents);
    ASSERT_EQ(records.shortened, documents);
    dropped = records.dropped_tokens;
    ASSERT_TRUE(json_again(*ticket->after) == *ticket->after);
  }
  EXPECT_GE(dropped, documents * 50);
  EXPECT_LE(dropped, documents * 80);
}

TEST(DocumentChunk, HasOneLimitForAllPhases) {
  StreamConfig config = config_over("", {folder_corpus("a", kShareUnits)}, three_denoisers(300'000'000, 300'000'000));
  config.phases.push_back(config.phases[0]);
  config.phases[0].objective.max_document_tokens = config.phases[1].objective.max_document_tokens = 65'536;
  EXPECT_EQ(max_document_tokens_of(config), 65'536U);
  config.phases[1].objective.max_document_tokens = 0;
  EXPECT_THROW(max_document_tokens_of(config), ConfigError);
}

}  // namespace
}  // namespace millrace
