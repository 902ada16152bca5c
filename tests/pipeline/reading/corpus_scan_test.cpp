#include "pipeline/reading/corpus_scan.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/zstd_frame.h"

namespace millrace {
namespace {

std::string lines(int from, int to) {
  std::string all;
  for (int i = from; i < to; ++i)
    all += "{\"text\":\"" + std::to_string(i) + "\",\"id\":\"n" + std::to_string(i) + "\"}\n";
  return all;
}

/// Three shards: a plain one with a bad line, one with damage between its records and behind them, an empty one; then
/// one more.
class Scanning : public testing::Test {
 protected:
  Scanning() {
    write("part-0.jsonl", lines(0, 5) + "{\"text\":7}\n" + lines(5, 9));
    write("part-1.jsonl", zstd_frame_of(lines(10, 20)) + damaged_frame_of(lines(20, 90)) +
                              zstd_frame_of(lines(90, 95)) + damaged_frame_of(lines(95, 190)));
    write("part-2.jsonl", "");
    write("part-3.jsonl", lines(200, 204));
    config_.data_directory = folder_.path().string();
    corpus_.corpus.name = "c";
  }

  void write(const std::string& name, const std::string& bytes) {
    folder_.write(name, bytes);
    corpus_.shards.push_back(name);
  }

  /// Items as text: "2:text", "1:damage,record", "1:damage,end".
  std::vector<std::string> scan(const ScanCursor& start, std::vector<ScanCursor>* places = nullptr) {
    CorpusScan scan(config_, corpus_, start, CorpusShard::WithIds::no);
    std::vector<std::string> items;
    for (ReadRecord item; scan.next(item);) {
      std::string text = std::to_string(item.place.shard) + ":";
      for (const Reject& reject : item.container_rejects) text += std::string(name_of(reject.cause)) + ",";
      if (const auto* document = std::get_if<Document>(&item.record)) text += document->text;
      if (const auto* reject = std::get_if<Reject>(&item.record)) text += name_of(reject->cause);
      if (item.kind == ReadRecord::Kind::shard_end) text += "shard's end";
      if (item.kind == ReadRecord::Kind::corpus_end) text += "corpus's end";
      items.push_back(text);
      if (places != nullptr) places->push_back(item.after);
    }
    return items;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
  RunCorpus corpus_;
};

TEST_F(Scanning, GivesEveryRecordInItsPlaceAndDamageOnce) {
  const std::vector<std::string> items = scan({});
  EXPECT_EQ(
      std::ranges::count_if(items, [](const std::string& item) { return item.find("damaged_frame") != item.npos; }), 2);
  EXPECT_THAT(items, testing::Contains("0:wrong_type"));
  EXPECT_THAT(items, testing::Contains("1:damaged_frame,shard's end"));
  EXPECT_EQ(items.front(), "0:0");
  EXPECT_EQ(items.at(items.size() - 2), "3:203");
  EXPECT_EQ(items.back().substr(items.back().find(':')), ":corpus's end");
}

TEST_F(Scanning, GoesOnFromBehindEveryItemWithTheSameItems) {
  std::vector<ScanCursor> places;
  const std::vector<std::string> all = scan({}, &places);
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> rest(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end());
    if (rest.empty()) rest = {all.back()};  // The end is told again.
    std::vector<std::string> again = scan(places[i]);
    rest.back() = again.back() = "end";  // Of no shard.
    EXPECT_EQ(again, rest) << "behind item " << i << ", " << all[i];
  }
}

TEST_F(Scanning, ComesBehindAllBytesAtTheEnd) {
  std::vector<ScanCursor> places;
  scan({}, &places);
  EXPECT_EQ(places.back().bytes_behind, CorpusScan(config_, corpus_, {}, CorpusShard::WithIds::no).bytes());
  for (std::size_t i = 1; i < places.size(); ++i) EXPECT_GE(places[i].bytes_behind, places[i - 1].bytes_behind);
}

TEST_F(Scanning, EndsBehindAShardOfWhichNothingCouldBeReadWithItsRejects) {
  folder_.write("part-2.jsonl", damaged_frame_of(lines(0, 80)));
  CorpusScan scan(config_, corpus_, {2, 0, {}}, CorpusShard::WithIds::no);
  ReadRecord item;
  EXPECT_THROW(scan.next(item), DataError);
  EXPECT_EQ(item.place.shard, 2U);
  EXPECT_FALSE(item.container_rejects.empty());
  config_.allow_unreadable = {"part-2.jsonl"};
  CorpusScan allowed(config_, corpus_, {2, 0, {}}, CorpusShard::WithIds::no);
  ASSERT_TRUE(allowed.next(item));
  EXPECT_EQ(item.container_rejects.at(0).loss, (Loss{0, 0}));
}

}  // namespace
}  // namespace millrace
