#include "stages/shards/shard_to_records.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "stages/errors.h"
#include "tests/stages/shards/shard_fixture.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;
using Numbers = std::vector<std::uint64_t>;
using Causes = std::map<std::string, int>;

std::string lines(int from, int to) {
  std::string all;
  for (int i = from; i < to; ++i) all += json_line(std::string("document ").append(std::to_string(i)));
  return all;
}

class Shard : public ::testing::Test {
 protected:
  Reading read(const std::string& bytes, std::uint64_t first = 0, ReadOptions options = {}) const {
    return read_shard(folder_.write("shard.any", bytes), first, options);
  }
  TemporaryFolder folder_;
};

TEST_F(Shard, TellsTheContainerByItsContent) {
  for (const std::string& bytes : {lines(0, 5), zstd_frame(lines(0, 5)), gzip_member(lines(0, 5))}) {
    EXPECT_EQ(read(bytes).records(), (Numbers{0, 1, 2, 3, 4}));
  }
}

TEST_F(Shard, OfNoBytesHasNoRecordsAndNoRejects) {
  for (const std::string& bytes : {std::string(), zstd_frame(""), gzip_member(""), skippable_frame("")}) {
    const Reading reading = read(bytes);
    EXPECT_TRUE(reading.documents.empty() && reading.rejects.empty());
  }
}

TEST_F(Shard, ReadsFramesThatAreCutInTheMiddleOfALine) {
  const std::string all = lines(0, 9);
  const std::string first = all.substr(0, 30), second = all.substr(30);
  EXPECT_EQ(read(skippable_frame("x") + zstd_frame(first) + zstd_frame("") + zstd_frame(second)).records().size(), 9U);
  EXPECT_EQ(read(gzip_member(first) + gzip_member(second) + std::string(100, '\0')).records().size(), 9U);
}

TEST_F(Shard, ReportsATruncatedContainerAndKeepsWhatStandsBeforeIt) {
  for (const std::string& whole : {zstd_frame(lines(0, 50)), gzip_member(lines(0, 50))}) {
    const Reading reading = read(zstd_frame("") == whole ? "" : whole.substr(0, whole.size() - 2));
    EXPECT_EQ(reading.causes(), (Causes{{"truncated", 1}}));
  }
  const std::string good = zstd_frame(lines(0, 7));
  EXPECT_EQ(read(good + zstd_frame(lines(7, 90)).substr(0, 40)).records().size(), 7U);
}

TEST_F(Shard, ReportsGarbageBehindTheLastFrameWithoutLosingAnything) {
  for (const std::string& whole : {zstd_frame(lines(0, 5)), gzip_member(lines(0, 5))}) {
    const Reading reading = read(whole + "garbage");
    EXPECT_EQ(reading.documents.size(), 5U);
    EXPECT_EQ(reading.causes(), (Causes{{"trailing_garbage", 1}}));
    EXPECT_EQ(reading.rejects.at(0).lost_bytes, 7U);
  }
}

TEST_F(Shard, LosesOnlyTheFrameThatIsDamaged) {
  std::string damaged = zstd_frame(lines(10, 20));
  damaged.back() ^= 1;  // The checksum.
  const Reading reading = read(zstd_frame(lines(0, 10)) + damaged + zstd_frame(lines(20, 30)));
  EXPECT_EQ(reading.causes(), (Causes{{"damaged_frame", 1}}));
  EXPECT_EQ(reading.texts().back(), "document 29");
  EXPECT_GE(reading.documents.size(), 20U);
}

TEST_F(Shard, RejectsALineThatIsTooLongAndKeepsItsNeighbours) {
  ReadOptions options;
  options.max_record_bytes = 100;
  const Reading reading = read(lines(0, 2) + json_line(std::string(5000, 'x')) + lines(3, 5), 0, options);
  EXPECT_EQ(reading.records(), (Numbers{0, 1, 3, 4}));
  EXPECT_EQ(reading.causes(), (Causes{{"too_long", 1}}));
}

TEST_F(Shard, GivesOneRejectForAFileThatCannotBeRead) {
  EXPECT_EQ(read_shard((folder_.path() / "missing").string()).causes(), (Causes{{"unreadable", 1}}));
  EXPECT_EQ(read_shard(folder_.path().string()).causes(), (Causes{{"unreadable", 1}}));
}

TEST_F(Shard, StartsAtTheRecordAskedFor) {
  const std::string bytes = std::string("\n").append(lines(0, 3)).append("{broken\n\n").append(lines(4, 6));
  const Reading reading = read(zstd_frame(bytes), 3);
  EXPECT_EQ(reading.records(), (Numbers{4, 5}));
  EXPECT_EQ(reading.rejects.at(0).where.record, 3U);
  EXPECT_EQ(reading.rejects.at(0).where.line, 5U);
  EXPECT_TRUE(read(zstd_frame(bytes), 6).documents.empty());
  EXPECT_TRUE(read(zstd_frame(bytes), 99).documents.empty());
}

TEST_F(Shard, NamesTheLastFrameThatItCanBeReadFrom) {
  const std::string frame[] = {zstd_frame(lines(0, 10)), zstd_frame(lines(10, 20) + "{\"text\":"),
                               zstd_frame("\"x\"}\n" + lines(21, 30))};
  const std::string path = folder_.write("s", skippable_frame("head") + frame[0] + frame[1] + frame[2]);
  const std::uint64_t start = skippable_frame("head").size();
  const std::unique_ptr<RecordReader> reader = open_shard(path, {});
  Record record;
  while (reader->next_record() < 15) reader->next(record);
  EXPECT_EQ(reader->seek_point().offset, start + frame[0].size());
  EXPECT_EQ(reader->seek_point().record, 10U);
  while (reader->next_record() < 25) reader->next(record);
  EXPECT_EQ(reader->seek_point().offset, start + frame[0].size() + frame[1].size());
  EXPECT_EQ(reader->seek_point().record, 21U) << "the line that begins in the frame before needs that frame";
}

TEST_F(Shard, FindsTheNextFrameByTheSeekTableWhereTheDamagedOneDoesNotLeadToIt) {
  const std::string frames[] = {zstd_frame(lines(0, 10)), zstd_frame(lines(10, 20)), zstd_frame(lines(20, 30))};
  const auto number = [](std::uint64_t value) {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
    return bytes;
  };
  std::string entries;
  for (const std::string& frame : frames) entries += number(frame.size()) + number(lines(0, 10).size());
  const std::string footer = number(3) + std::string(1, '\0') + number(0x8F92EAB1U);
  const std::string table = number(0x184D2A5EU) + number(entries.size() + footer.size()) + entries + footer;
  std::string damaged = frames[1];
  for (std::size_t i = 4; i < damaged.size(); ++i) damaged[i] = '\x7F';
  const std::string bytes = frames[0] + damaged + frames[2];
  EXPECT_EQ(read(bytes).texts().size(), 10U);
  const Reading reading = read(bytes + table);
  EXPECT_EQ(reading.texts().size(), 20U);
  EXPECT_EQ(reading.texts().back(), "document 29");
  EXPECT_EQ(reading.causes(), (Causes{{"damaged_frame", 1}}));
}

TEST_F(Shard, TrustsItsBlockHeadersWhereTheSeekTableIsWrong) {
  std::string damaged = zstd_frame(lines(10, 20));
  damaged.back() ^= 1;  // The checksum.
  const std::string wrong_table("\x5E\x2A\x4D\x18\x11\0\0\0\x07\0\0\0\x09\0\0\0\x01\0\0\0\0\xB1\xEA\x92\x8F", 25);
  const Reading reading = read(damaged + zstd_frame(lines(20, 30)) + wrong_table);
  EXPECT_EQ(reading.texts().back(), "document 29");
  EXPECT_EQ(reading.causes(), (Causes{{"damaged_frame", 1}}));
}

RC_GTEST_PROP(ShardSeek, FromAnySeekPointGivesTheSameRest, ()) {
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8));
  const auto container = *rc::gen::inRange(0, 3);
  std::string bytes, frame;
  const auto end_frame = [&] {
    bytes += container == 0 ? frame : container == 1 ? zstd_frame(frame) : gzip_member(frame);
    frame.clear();
  };
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    frame += kinds[i] == 0 ? "\n" : kinds[i] == 1 ? "{broken\n" : json_line(std::to_string(i));
    if (kinds[i] == 2) end_frame();
    if (kinds[i] == 3) {
      const std::string tail = frame.substr(frame.size() / 2);
      frame.resize(frame.size() / 2);
      end_frame();
      frame = tail;
    }
  }
  end_frame();
  TemporaryFolder folder;
  const std::string path = folder.write("s", bytes);
  const auto told = [](const Record& record) {
    const auto* document = std::get_if<Document>(&record);
    const RecordLocation& where = document != nullptr ? document->where : std::get<Reject>(record).where;
    return std::to_string(where.record) + ":" + std::to_string(where.line) + ":" + std::to_string(where.byte) + ":" +
           (document != nullptr ? document->text : "");
  };
  struct Stop {
    std::uint64_t record;
    SeekPoint point;
  };
  std::vector<Stop> stops;
  std::vector<std::string> whole;
  const std::unique_ptr<RecordReader> first = open_shard(path, {});
  Record record;
  do {
    stops.push_back({first->next_record(), first->seek_point()});
    RC_ASSERT(first->seek_point().record <= first->next_record());
  } while (first->next(record) && (whole.push_back(told(record)), true));
  for (const Stop& stop : stops) {
    const std::unique_ptr<RecordReader> again = open_shard(path, {}, stop.record, stop.point);
    RC_ASSERT(again->seek_point() == stop.point);
    std::vector<std::string> rest;
    while (again->next(record)) rest.push_back(told(record));
    RC_ASSERT(rest == std::vector<std::string>(whole.begin() + static_cast<std::ptrdiff_t>(stop.record), whole.end()));
  }
}

RC_GTEST_PROP(ShardSeek, EqualsReadingFromTheStartAndSkipping, ()) {
  const auto kinds = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
  std::string bytes;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == 0) {
      bytes.push_back('\n');
    } else if (kinds[i] == 1) {
      bytes.append("{broken\n");
    } else {
      bytes.append(json_line(std::to_string(i)));
    }
  }
  const TemporaryFolder folder;
  const std::string path = folder.write("shard", *rc::gen::arbitrary<bool>() ? zstd_frame(bytes) : bytes);
  const auto first = *rc::gen::inRange<std::uint64_t>(0, kinds.size() + 2);
  const Reading whole = read_shard(path);
  const Reading rest = read_shard(path, first);
  Strings expected;
  for (const Document& document : whole.documents) {
    if (document.where.record >= first) expected.push_back(document.text);
  }
  RC_ASSERT(rest.texts() == expected);
}

TEST_F(Shard, ShowsItsLayoutUnlessItHasNone) {
  const auto field = [this](const std::string& bytes) { return detect_layout(folder_.write("s", bytes)).text_field; };
  EXPECT_EQ(field(R"({"content": "x", "text": "y"})"), "text");
  EXPECT_EQ(field("{broken\n"
                  R"({"content": "x"})"),
            "content");
  EXPECT_EQ(field(zstd_frame(R"({"raw_content": "x"})")), "raw_content");
  EXPECT_EQ(field(""), "text");
  EXPECT_EQ(detect_layout((folder_.path() / "missing").string()).text_field, "text");
}

TEST_F(Shard, ShowsTheLayoutThatItsKeysTell) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {R"({"text": "", "meta": {}})", "redpajama"},
      {R"({"pred_label": 1, "text": ""})", "redpajama"},
      {R"({"text": "", "id": "", "source": "", "added": "", "metadata": {}})", "dolma"},
      {R"({"text": "", "timestamp": "", "url": ""})", "c4"},
      {R"({"content": "", "lang": ""})", "the-stack"},
      {R"({"raw_content": "", "url": ""})", "redpajama-v2"},
      {R"({"text": ""})", "custom"},
  };
  for (const auto& [line, name] : cases) EXPECT_EQ(detect_layout(folder_.write("s", line)).name, name) << line;
}

TEST_F(Shard, OfTextIsOneDocument) {
  const std::string text = "First line.\n\nThird: \xC3\xA9.\n";
  for (const std::string& bytes : {text, "\xEF\xBB\xBF" + text, zstd_frame(text), gzip_member(text)}) {
    const std::string path = folder_.write("note.txt", bytes);
    ASSERT_EQ(detect_layout(path).name, "text");
    const Reading reading = read_shard(path, 0, {layout_named("text")});
    EXPECT_EQ(reading.texts(), (Strings{text}));
    EXPECT_TRUE(read_shard(path, 1, {layout_named("text")}).documents.empty());
  }
  EXPECT_EQ(detect_layout(folder_.write("lines.txt", lines(0, 2))).name, "custom") << "JSON lines by another name";
  EXPECT_EQ(detect_layout(folder_.write("lines.jsonl", "no JSON\n")).name, "custom");
}

TEST_F(Shard, OfTextThatIsNoneIsRejected) {
  ReadOptions options{layout_named("text"), 10};
  EXPECT_EQ(read("", 0, options).causes(), (Causes{{"empty_text", 1}}));
  EXPECT_EQ(read("a\xFF", 0, options).causes(), (Causes{{"bad_utf8", 1}}));
  EXPECT_EQ(read("12345678901", 0, options).causes(), (Causes{{"too_long", 1}}));
  EXPECT_EQ(read("1234567890", 0, options).texts(), (Strings{"1234567890"}));
  const std::string whole = zstd_frame(lines(0, 50));
  EXPECT_EQ(read(whole.substr(0, whole.size() - 5), 0, {layout_named("text")}).causes(), (Causes{{"truncated", 1}}));
}

TEST(Layout, OfAnUnknownNameListsTheKnownOnes) {
  EXPECT_EQ(layout_named("redpajama-v2").text_field, "raw_content");
  try {
    layout_named("redpyjama");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("redpajama, redpajama-v2, the-stack, dolma, c4"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace
