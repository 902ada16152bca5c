#include "pipeline/reading/corpus_reader.h"

#include <algorithm>
#include <map>
#include <optional>
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

  ReadingPlan plan() const {
    StreamConfig config = config_;
    Mix mix;
    mix.corpora = {corpus_.corpus};
    config.phases = {{1, mix, {}}};
    return reading_plans(config, {corpus_}).front();
  }

  std::vector<ReadRecord> read(const ReadStart& start, std::size_t count) {
    const ReadingPlan reading = plan();
    CorpusReader reader(config_, corpus_, reading, start);
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
    EXPECT_EQ(record / 8 * 8, item.place.at.block);
  }
}

TEST_F(Reading, KeepsTheSamePartOfEveryShardRead) {
  std::map<std::uint32_t, double> read_of;
  std::set<std::uint32_t> last_shards;
  const std::vector<ReadRecord> items = read({}, 42);
  for (std::size_t i = 0; i < items.size(); ++i) {
    read_of[items[i].place.shard] += 1.0;
    if (i + 6 >= items.size()) last_shards.insert(items[i].place.shard);
    const double parts[] = {read_of[0] / 10, read_of[1] / 25, read_of[2] / 7};
    const auto [least, most] = std::ranges::minmax(parts);
    EXPECT_LE(most - least, 1.0 / 7 + 1.0 / 10) << "after record " << i;
  }
  EXPECT_EQ(last_shards.size(), 3U) << "large and small shards end together";
}

TEST_F(Reading, ReadsOneShardAfterAnotherWhereOneIsAllowed) {
  config_.shuffle_shards = 1;
  const std::vector<ReadRecord> items = read({}, 42);
  std::vector<std::uint32_t> shards;
  for (const ReadRecord& item : items)
    if (shards.empty() || shards.back() != item.place.shard) shards.push_back(item.place.shard);
  EXPECT_EQ(shards.size(), 3U);
}

TEST_F(Reading, OpensAsManyShardsAsFitInTheMemory) {
  EXPECT_EQ(plan().lanes, 3U);
  config_.shuffle_memory = 2 * plan().lane_bytes;
  EXPECT_EQ(plan().lanes, 2U);
  config_.shuffle_memory = 1;
  EXPECT_EQ(plan().lanes, 1U) << "one is needed";
}

/// The start at an item, as who takes the items keeps it.
TEST_F(Reading, GoesOnFromEveryPlaceWithTheSameRecords) {
  for (const std::uint64_t lanes : {1, 2, 3}) {
    config_.shuffle_shards = lanes;
    const std::vector<ReadRecord> items = read({}, 86);
    ReadStart start;
    for (std::size_t i = 0; i < items.size(); ++i) {
      for (const LaneMove& ended : items[i].ended_lanes) start.lanes.at(ended.lane) = ended.to;
      if (items[i].kind != ReadRecord::Kind::record) {
        start = {};
        start.epoch = items[i].place.epoch;
        continue;
      }
      const ReadCursor& place = items[i].place;
      start.lanes.resize(std::max<std::size_t>(start.lanes.size(), place.lane + 1));
      start.lanes[place.lane] = place.at;
      for (const bool begun : {false, true}) {
        start.begun = begun ? std::optional(place.lane) : std::nullopt;
        const std::vector<ReadRecord> rest = read(start, items.size() - i);
        for (std::size_t j = 0; j < rest.size(); ++j) {
          ASSERT_EQ(name_of_item(rest[j]), name_of_item(items[i + j])) << i << " in " << lanes;
          ASSERT_EQ(rest[j].place.at, items[i + j].place.at) << i;
        }
      }
      ++start.lanes[place.lane].index;
    }
  }
}

TEST_F(Reading, GoesOnInTheMidstOfAPlainShardWithoutWhatStandsBeforeIt) {
  const std::vector<ReadRecord> items = read({}, 42);
  for (const ReadRecord& item : items) {
    const RecordLocation& where = std::get<Document>(item.record).where;
    const LaneCursor& at = item.place.at;
    EXPECT_LE(at.seek.byte, where.byte);
    EXPECT_EQ(at.seek.record, at.block);
    EXPECT_EQ(at.seek.offset, at.seek.byte);
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
  EXPECT_TRUE(std::ranges::any_of(items, [](const ReadRecord& item) { return item.place.at.block % 8 != 0; }));
}

TEST_F(Reading, NoticesThatAShardHasShrunk) {
  ReadStart start;
  start.lanes.resize(3);
  start.lanes[0].index = 8;
  const std::vector<ReadRecord> first = read({}, 1);
  ASSERT_EQ(first[0].place.lane, 0U);
  folder_.write(corpus_.shards[first[0].place.shard], "{\"text\":\"one\"}\n");
  EXPECT_THROW(read(start, 1), DataError);
}

}  // namespace
}  // namespace millrace
