#include "pipeline/json_text.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/corpora/data_manifest.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/corpora/shard_fingerprint.h"
#include "pipeline/export/export_manifest.h"
#include "pipeline/formats/rows_provenance.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/row_provenance.h"
#include "pipeline/seek_json.h"
#include "stages/errors.h"
#include "stages/utf8.h"
#include "tests/json_again.h"
#include "tests/property.h"
#include "tests/utf8_text.h"

namespace millrace {
namespace {

constexpr int kCases = 60;

std::uint64_t number() {
  return *rc::gen::oneOf(rc::gen::element<std::uint64_t>(0, 1, 1ull << 32, 1ull << 53, (1ull << 53) + 1,
                                                         std::numeric_limits<std::int64_t>::max(), ~0ull),
                         rc::gen::arbitrary<std::uint64_t>());
}

std::uint32_t index() {
  return *rc::gen::oneOf(rc::gen::just(~0U), rc::gen::arbitrary<std::uint32_t>());
}

std::string text() {
  return *utf8_text();
}

std::optional<std::uint64_t> number_or_none() {
  return *rc::gen::arbitrary<bool>() ? std::optional(number()) : std::nullopt;
}

template <class Make>
auto list(const Make& make) {
  std::vector<decltype(make())> values;
  for (int left = *rc::gen::inRange(0, 4); left > 0; --left) values.push_back(make());
  return values;
}

SeekPoint seek_point() {
  SeekPoint point{number(), number(), 0, number(), number(), number()};
  point.byte = point.content | number();
  return point;
}

RecordCounts record_counts() {
  RecordCounts counts{number(), number(), number(), number(), number(), {}, number(), {number(), number()},
                      number(), 0};
  for (std::uint64_t& count : counts.rejected) count = number();
  if (counts.shortened > 0) counts.dropped_tokens = number();
  return counts;
}

LaneCursor lane_cursor() {
  LaneCursor lane{number(), number(), number(), seek_point()};
  lane.is_bad_so_far = *rc::gen::arbitrary<bool>();
  lane.seek.record = *rc::gen::inRange<std::uint64_t>(0, lane.block + 1);
  return lane;
}

WindowPlace window_place() {
  WindowPlace window{index(), number(), list(number), number()};
  window.examples.push_back(number());
  return window;
}

CorpusPosition corpus_position() {
  CorpusPosition position;
  position.corpus = text();
  ReadingPlace& place = position.place;
  place.epoch = number();
  place.lanes = list(lane_cursor);
  place.offset = place.lanes.empty() ? 0 : number();
  if (place.offset > 0)
    place.lane = *rc::gen::inRange<std::uint32_t>(0, static_cast<std::uint32_t>(place.lanes.size()));
  position.windows = list(window_place);
  position.open = *rc::gen::arbitrary<bool>();
  position.raw_tokens = number();
  position.tail_tokens = number();
  position.tail_documents = number();
  position.phase_raw_tokens = number();
  position.phase_examples = list(number);
  position.records = record_counts();
  place.records = position.windows.empty() ? position.records : record_counts();
  return position;
}

StreamPosition position() {
  return {number(), number(), index(), list(corpus_position), {}};
}

Reject reject() {
  const auto cause = static_cast<RejectCause>(*rc::gen::inRange(0, kRejectCauses));
  return {{text(), number(), number(), number(), 0}, cause, text(), number(), {number(), number()}};
}

DocumentSpan document_span() {
  return {index(), number(), number(), number(), number(), number()};
}

ExampleOrigin example_origin() {
  return {number(), index(),  index(), index(), number(), number(),           number(),
          number(), number(), index(), index(), index(),  list(document_span)};
}

StreamRow row_with_provenance() {
  StreamRow row;
  row.raw_tokens = list([] { return static_cast<TokenId>(index() >> 1U); });
  row.examples = list(example_origin);
  row.rejects = list(reject);
  row.reject_corpora.resize(row.rejects.size(), index());
  row.after = std::make_shared<const StreamPosition>(position());
  return row;
}

ShardFingerprint fingerprint() {
  return {text(), text(), number(), number(), text(), text()};
}

ShardEntry shard_entry() {
  ShardEntry entry;
  entry.path = text();
  entry.bytes = number();
  entry.modified = *rc::gen::element(std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}, std::int64_t{7});
  entry.xxh3 = text();
  entry.container = text();
  entry.layout = text();
  entry.records = number();
  entry.text_bytes = number();
  entry.rejects = {{text(), number()}, {text(), number()}};
  entry.lost = {number(), number()};
  entry.content = number();
  entry.tokens = number_or_none();
  entry.held_out.documents = number();
  if (entry.held_out.documents > 0) entry.held_out.tokens = number();
  entry.seek_points = list(seek_point);
  return entry;
}

ExportIdentity output_identity() {
  ExportIdentity identity;
  identity.format = text();
  identity.run = text();
  identity.facts = {{"seed", text()}, {"phase 1 mix", text()}};
  identity.stream_version = *rc::gen::element(0, 3, std::numeric_limits<int>::max());
  identity.vocabulary = text();
  identity.tokenizer = text();
  identity.vocabulary_size = number();
  identity.eos = *rc::gen::element(0, 2, std::numeric_limits<TokenId>::max());
  identity.tokens = number_or_none();
  identity.part_bytes = number();
  identity.shards = list(fingerprint);
  return identity;
}

CorpusAccount account() {
  CorpusAccount account;
  account.corpus = text();
  account.records = record_counts();
  account.records.shortened = account.records.dropped_tokens = 0;  // Not part of an account.
  account.documents = number();
  account.raw_tokens = number();
  account.tail_documents = number();
  account.tail_tokens = number();
  account.budget = number_or_none();
  account.not_reached = number_or_none();
  return account;
}

BlockChecksums block_checksums() {
  BlockChecksums sums{*rc::gen::element<std::uint64_t>(0, 1, BlockChecksums::kBlock, BlockChecksums::kBlock + 1), {}};
  while (sums.blocks.size() * BlockChecksums::kBlock < sums.bytes) sums.blocks.push_back(text());
  return sums;
}

ExportManifest output_manifest() {
  ExportManifest manifest;
  manifest.identity = output_identity();
  manifest.id_type = text();
  manifest.length = *rc::gen::element(0, 1024, std::numeric_limits<int>::max());
  manifest.rows = number();
  manifest.stream_ended = *rc::gen::arbitrary<bool>();
  if (manifest.stream_ended) manifest.end = row_with_provenance();
  manifest.accounts = list(account);
  manifest.files = {{text(), block_checksums()}, {text(), block_checksums()}};
  return manifest;
}

/// Reading gives the value that was written, and writing it again the same text.
template <class Make>
void expect_to_come_back(const Make& make) {
  expect_holds(kCases, [&] {
    const auto value = make();
    const auto again = json_again(value);
    if constexpr (std::equality_comparable<decltype(make())>) RC_ASSERT(again == value);
    RC_ASSERT(json_line(again) == json_line(value));
  });
}

TEST(WrittenJson, ComesBackTheSameWhateverIsInIt) {
  expect_to_come_back(seek_point);
  expect_to_come_back(record_counts);
  expect_to_come_back(corpus_position);
  expect_to_come_back(position);
  expect_to_come_back(reject);
  expect_to_come_back(document_span);
  expect_to_come_back(example_origin);
  expect_to_come_back(fingerprint);
  expect_to_come_back(shard_entry);
  expect_to_come_back(output_identity);
  expect_to_come_back(account);
  expect_to_come_back(block_checksums);
  expect_to_come_back(output_manifest);
}

TEST(WrittenJson, ComesBackTheSameInLinesAndStories) {
  expect_holds(kCases, [] {
    const std::vector<Reject> rejects = list(reject);
    RC_ASSERT(to_jsonl(rejects_from_jsonl(to_jsonl(rejects), "f")) == to_jsonl(rejects));
    const std::vector<ShardFingerprint> shards = list(fingerprint);
    RC_ASSERT(fingerprints_from_jsonl(to_jsonl(shards), "f") == shards);
    const StreamRow row = row_with_provenance();
    StreamRow again;
    add_provenance(again, JsonValue::parse(json_line(provenance_json(row)), {"f", 0, ""}));
    RC_ASSERT(again.examples == row.examples);
    RC_ASSERT(again.raw_tokens == row.raw_tokens);
    RC_ASSERT(again.reject_corpora == row.reject_corpora);
    RC_ASSERT(*again.after == *row.after);
    RC_ASSERT(provenance_json(again) == provenance_json(row));
  });
}

TEST(WrittenJson, ComesBackTheSameFromALedger) {
  expect_holds(kCases, [] {
    Ledger ledger;
    for (int rows = *rc::gen::inRange(0, 4); rows > 0; --rows) {
      StreamRow row = row_with_provenance();
      row.row.tokens.resize(*rc::gen::inRange<std::size_t>(0, 9));
      ledger.add(row);
    }
    RC_ASSERT(json_again(ledger) == ledger);
  });
}

/// Texts of earlier program versions are read, and written again byte for byte.
TEST(WrittenJson, IsTheBytesThatEarlierProgramsWrote) {
  const auto again = []<class Value>(const Value*, const std::string& text) {
    EXPECT_EQ(json_line(from_json_text<Value>(text)), text);
  };
  again(
      static_cast<StreamPosition*>(nullptr),
      R"({"row":1000,"example":1001,"phase":1,"corpora":[{"corpus":"prose","epoch":1,"lanes":[[2,4096,6,1,2,1,4,4091]],)"
      R"("lane":0,"offset":7,"open":true,"raw_tokens":8,"tail_tokens":9,"tail_documents":10,)"
      R"("phase_raw_tokens":11,"phase_examples":[12,13],"records":{"read":14,"held_out":15,"filtered":16,"skipped":17,)"
      R"("rejected_records":18,"rejected":{"bad_json":19},"bytes":20,"lost_records":21,"lost_content":22},"windows":[[0,5,7,1,2],[1,6,3,0]],)"
      R"("read":{"read":23,"held_out":0,"filtered":0,"skipped":0,"rejected_records":0,"rejected":{},"bytes":24,)"
      R"("lost_records":0,"lost_content":0}}]})");
  again(static_cast<Ledger*>(nullptr),
        R"({"rows":1,"positions":2,"entries":[{"phase":0,"corpus":1,"denoiser":2,"documents":3,"examples":4,)"
        R"("raw_tokens":5,"loss_tokens":6,"trimmed_tokens":7}]})");
  again(static_cast<Reject*>(nullptr),
        R"({"shard":"a/b.jsonl","record":1,"line":2,"byte":3,"cause":"bad_json","reason":"a \"quote\"","lost_bytes":4,)"
        R"("lost_records":5,"lost_content":6})");
  again(static_cast<ShardFingerprint*>(nullptr),
        R"({"corpus":"prose","shard":"a.jsonl","bytes":1,"sampled_bytes":2,"hash":"0123456789abcdef","xxh3":null})");
  again(static_cast<BlockChecksums*>(nullptr), R"({"bytes":1,"xxh3_64":["0123456789abcdef"]})");
}

TEST(MissingValue, IsNull) {
  EXPECT_EQ(json_line({{"a", std::optional<int>()}, {"b", std::optional(1)}}), R"({"a":null,"b":1})");
  EXPECT_EQ(json_line({{"a", std::shared_ptr<const Json>()}, {"b", std::make_shared<const Json>(Json{1})}}),
            R"({"a":null,"b":[1]})");
  EXPECT_EQ(json_line({finite_or_null(0.5), finite_or_null(std::numeric_limits<double>::quiet_NaN()),
                       finite_or_null(std::numeric_limits<double>::infinity())}),
            "[0.5,null,null]");
}

TEST(BytesThatAreNoUtf8, AreReplacedInEveryText) {
  expect_holds(kCases, [](const std::string& bytes) {
    for (const std::string& written : {json_line(bytes), json_page({{bytes, bytes}}), json_table({{"l", {bytes}}})}) {
      RC_ASSERT(is_utf8(written));
      RC_ASSERT(!Json::parse(written, nullptr, false).is_discarded());
    }
  });
}

TEST(TableOfJson, HasALineForEachElementAndIsTheSameValue) {
  EXPECT_EQ(json_table({{"a", 1}, {"rows", {{{"b", 2}}, {{"b", "]}\n"}}}}}),
            "{\"a\":1,\"rows\":[\n{\"b\":2},\n{\"b\":\"]}\\n\"}\n]}\n");
  expect_holds(kCases, [] {
    const Json json{{text() + "1", text()}, {"rows", list(reject)}};
    RC_ASSERT(Json::parse(json_table(json)) == json);
  });
}

TEST(ReadJson, OfATypeNamesTheWholePath) {
  const auto complaint = [](const std::string& text) -> std::string {
    try {
      (void)from_json_text<std::map<std::string, std::vector<BlockChecksums>>>(text);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(complaint(R"({"a":[{"bytes":0,"xxh3_64":[]}]})"), "");
  EXPECT_EQ(complaint(R"({"a":[{"bytes":0,"xxh3_64":[]},{"bytes":"x"}]})"),
            "text.json: a[1].bytes is \"x\", expected a whole number from 0 to 18446744073709551615");
  EXPECT_EQ(complaint(R"({"a":{}})"), "text.json: a is an object, expected a list");
  EXPECT_EQ(complaint("[]"), "text.json: the JSON is a list of 0, expected an object");
  EXPECT_FALSE(JsonValue::parse(R"({"a":null})", {"f", 0, ""}).get_or_null<BlockChecksums>("a").has_value());
}

TEST(FuzzersSeeds, AreWhatIsWrittenNow) {
  const std::filesystem::path seeds = std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/fuzz/seeds";
  EXPECT_GT(JsonValue::read(seeds / "json/position").as<StreamPosition>().corpora.at(0).place.lanes.size(), 1U);
  EXPECT_EQ(JsonValue::read(seeds / "json/output").as<ExportManifest>().identity.format, "rows");
  std::ifstream story(seeds / "rows/story", std::ios::binary);
  const RowsProvenanceReader reader({std::istreambuf_iterator<char>(story), {}}, 1, "story");
  StreamRow row;
  reader.fill(row, 0);
  EXPECT_GT(row.raw_tokens.size(), 1U);
}

}  // namespace
}  // namespace millrace
