#include "pipeline/reading/corpus_reader.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

/// Three shards of 10, 25 and 7 records whose texts name shard and record.
class Reading : public testing::Test {
 protected:
  Reading() {
    const int records[] = {10, 25, 7};
    for (int shard = 0; shard < 3; ++shard) {
      std::string lines;
      for (int i = 0; i < records[shard]; ++i)
        lines += "{\"text\":\"" + std::to_string(shard) + ":" + std::to_string(i) + "\"}\n";
      folder_.write("c/part-" + std::to_string(shard) + ".jsonl", lines);
    }
    config_.data_directory = folder_.path().string();
    config_.shuffle_block = 8;
    corpus_.corpus.name = "c";
    corpus_.id = 99;
    corpus_.shards = {"c/part-0.jsonl", "c/part-1.jsonl", "c/part-2.jsonl"};
  }

  static std::string name_of_item(const ReadRecord& item) {
    if (item.kind != ReadRecord::Kind::record) return "end";
    return std::get<Document>(item.record).text;
  }

  std::vector<ReadRecord> read(const ReadStart& start, std::size_t count) {
    CorpusReader reader(config_, corpus_, start);
    std::vector<ReadRecord> items(count);
    for (ReadRecord& item : items)
      if (!reader.next(item)) break;
    return items;
  }

  std::vector<std::string> names(const ReadStart& start, std::size_t count) {
    std::vector<std::string> names;
    for (const ReadRecord& item : read(start, count)) names.push_back(name_of_item(item));
    return names;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
  RunCorpus corpus_;
};

TEST_F(Reading, GivesEveryRecordOnceAnEpochThenTheEpochsEnd) {
  const std::vector<std::string> epoch = names({}, 43);
  EXPECT_EQ(std::set<std::string>(epoch.begin(), epoch.end()).size(), 43U);
  EXPECT_EQ(epoch.back(), "end");
}

TEST_F(Reading, GivesEachEpochItsOwnOrder) {
  const std::vector<std::string> two = names({}, 86);
  EXPECT_FALSE(std::equal(two.begin(), two.begin() + 42, two.begin() + 43));
  EXPECT_TRUE(std::is_permutation(two.begin(), two.begin() + 42, two.begin() + 43));
}

TEST_F(Reading, ShufflesWithinBlocksOnly) {
  const std::vector<ReadRecord> items = read({}, 42);
  for (const ReadRecord& item : items) {
    const std::uint64_t record = std::get<Document>(item.record).where.record;
    EXPECT_EQ(record / 8 * 8, item.place.block);
  }
}

TEST_F(Reading, GoesOnFromEveryPlaceWithTheSameRecords) {
  const std::vector<ReadRecord> items = read({}, 86);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].kind != ReadRecord::Kind::record) continue;
    ReadStart start;
    start.at.epoch = items[i].place.epoch;
    start.at.shard_turn = items[i].place.shard_turn;
    start.at.block = items[i].place.block;
    start.at.index = items[i].place.index;
    start.at.seek = items[i].place.seek;
    const std::vector<ReadRecord> rest = read(start, items.size() - i);
    for (std::size_t j = 0; j < rest.size(); ++j) {
      ASSERT_EQ(name_of_item(rest[j]), name_of_item(items[i + j])) << i;
      ASSERT_EQ(rest[j].place.seek, items[i + j].place.seek) << i;
    }
  }
}

TEST_F(Reading, GoesOnInTheMidstOfAPlainShardWithoutWhatStandsBeforeIt) {
  const std::vector<ReadRecord> items = read({}, 42);
  for (const ReadRecord& item : items) {
    const RecordLocation& where = std::get<Document>(item.record).where;
    EXPECT_LE(item.place.seek.byte, where.byte);
    EXPECT_EQ(item.place.seek.record, item.place.block);
    EXPECT_EQ(item.place.seek.offset, item.place.seek.byte);
  }
}

TEST_F(Reading, KeepsThePlacesOfRecordsThatAreFilteredOut) {
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += "{\"text\":\"" + std::to_string(i) + "\",\"lang\":\"" + (i % 2 == 0 ? "en" : "de") + "\"}\n";
  folder_.write("f.jsonl", lines);
  corpus_.shards = {"f.jsonl"};
  const std::vector<std::string> all = names({}, 20);
  corpus_.corpus.filter.keep = {{"lang", {"de"}}};
  const std::vector<ReadRecord> kept = read({}, 20);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (std::stoi(all[i]) % 2 == 0) {
      EXPECT_TRUE(std::holds_alternative<Filtered>(kept[i].record));
    } else {
      EXPECT_EQ(name_of_item(kept[i]), all[i]);
    }
  }
}

TEST_F(Reading, EndsABlockWhereItsTextGrowsTooLarge) {
  config_.shuffle_bytes = 10;
  const std::vector<ReadRecord> items = read({}, 42);
  EXPECT_TRUE(std::ranges::any_of(items, [](const ReadRecord& item) { return item.place.block % 8 != 0; }));
}

TEST_F(Reading, NoticesThatAShardHasShrunk) {
  ReadStart start;
  start.at.index = 8;
  const std::vector<ReadRecord> first = read({}, 1);
  folder_.write(corpus_.shards[first[0].place.shard], "{\"text\":\"one\"}\n");
  EXPECT_THROW(read(start, 1), DataError);
}

}  // namespace
}  // namespace millrace
