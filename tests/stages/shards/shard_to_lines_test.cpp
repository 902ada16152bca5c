#include "stages/shards/shard_to_lines.h"

#include <algorithm>
#include <deque>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/stages/shards/shard_fixture.h"

namespace millrace {
namespace {

/// Returns its bytes in pieces of given sizes.
class ScriptedBytes final : public ByteStream {
 public:
  ScriptedBytes(std::string bytes, std::vector<std::size_t> cuts) : bytes_(std::move(bytes)), cuts_(std::move(cuts)) {}
  double share_read() const override { return 0; }
  Piece read(char* into, std::size_t capacity) override {
    const std::size_t wish = cuts_.empty() ? capacity : 1 + cuts_[next_cut_++ % cuts_.size()];
    const std::size_t size = std::min({wish, capacity, bytes_.size() - at_});
    std::copy_n(bytes_.data() + at_, size, into);
    at_ += size;
    return {size, std::nullopt};
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> cuts_;
  std::size_t at_ = 0;
  std::size_t next_cut_ = 0;
};

struct Found {
  std::string bytes;
  std::uint64_t record, number, byte, length;
  bool too_long;
};

std::vector<Found> split(const std::string& bytes, std::uint64_t longest = 1 << 20,
                         std::vector<std::size_t> cuts = {}) {
  LineSplitter lines(std::make_unique<ScriptedBytes>(bytes, std::move(cuts)), longest);
  std::vector<Found> found;
  Line line;
  while (lines.next(line) == LineSplitter::Step::line) {
    found.push_back({std::string(line.bytes), line.record, line.number, line.byte, line.length, line.too_long});
  }
  return found;
}

std::vector<std::string> texts(const std::vector<Found>& lines) {
  std::vector<std::string> all;
  for (const Found& line : lines) all.push_back(line.bytes);
  return all;
}

using Strings = std::vector<std::string>;

TEST(LineSplitter, TakesTheLastLineWithOrWithoutItsNewline) {
  EXPECT_EQ(texts(split("a\nb\n")), (Strings{"a", "b"}));
  EXPECT_EQ(texts(split("a\nb")), (Strings{"a", "b"}));
  EXPECT_EQ(texts(split("")), Strings{});
}

TEST(LineSplitter, DropsCarriageReturnsAndTheByteOrderMark) {
  EXPECT_EQ(texts(split("\xEF\xBB\xBF"
                        "a\r\nb\r\n")),
            (Strings{"a", "b"}));
}

TEST(LineSplitter, CountsBlankLinesAsLinesButNotAsRecords) {
  const std::vector<Found> lines = split("a\n\n \t\r\nb\n");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].record, 1U);
  EXPECT_EQ(lines[1].number, 4U);
  EXPECT_EQ(lines[1].byte, 7U);
}

TEST(LineSplitter, ReadsPastALineThatIsTooLongAndGoesOnBehindIt) {
  const std::string huge(3 << 20, 'x');
  const std::vector<Found> lines = split("a\n" + huge + "\nb\n", 1000);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_TRUE(lines[1].too_long);
  EXPECT_EQ(lines[1].length, huge.size());
  EXPECT_EQ(lines[2].bytes, "b");
  EXPECT_EQ(lines[2].byte, huge.size() + 3);
  EXPECT_EQ(lines[2].record, 2U);
}

TEST(LineSplitter, AllowsALineOfExactlyTheLongestLength) {
  for (const char* ending : {"\n", "\r\n", ""}) {
    EXPECT_FALSE(split(std::string(10, 'x') + ending, 10).at(0).too_long);
    EXPECT_TRUE(split(std::string(11, 'x') + ending, 10).at(0).too_long);
  }
}

TEST(LineSplitter, MeasuresALineWithoutItsMarksHoweverItArrives) {
  const std::string mark = "\xEF\xBB\xBF";
  for (const std::size_t piece : {1, 2, 13, 100}) {
    EXPECT_FALSE(split(mark + std::string(10, 'x') + "\r\n", 10, {piece - 1}).at(0).too_long);
    EXPECT_TRUE(split(mark + std::string(11, 'x') + "\r\n", 10, {piece - 1}).at(0).too_long);
  }
}

TEST(ZstdStream, GivesAllThatCouldBeDecodedOfADamagedFrameHoweverMuchIsAskedFor) {
  const TemporaryFolder folder;
  std::string content;
  while (content.size() < 300'000) content += "line " + std::to_string(content.size()) + "\n";
  std::string frame = zstd_frame(content);
  frame.back() = static_cast<char>(frame.back() ^ 1);  // The checksum.
  const std::string path = folder.write("damaged.zst", frame);
  for (const std::size_t capacity : {100, 1 << 17, 1 << 20}) {
    const auto stream = open_bytes(std::make_unique<InputFile>(path), Container::zstd);
    std::string given, buffer(capacity, '\0');
    ByteStream::Piece piece;
    do {
      piece = stream->read(buffer.data(), buffer.size());
      given.append(buffer, 0, piece.bytes);
    } while (piece.bytes > 0 && !piece.fault);
    ASSERT_TRUE(piece.fault);
    EXPECT_EQ(piece.fault->cause, RejectCause::damaged_frame);
    EXPECT_TRUE(given == content) << capacity << " at a time: " << given.size() << " of " << content.size() << " bytes";
  }
}

TEST(ZstdStream, GivesTheSameOfADamagedFrameWhateverCameBeforeIt) {
  // The header promises 30 bytes; blocks of 22 and 12 follow, which fit into the larger buffer of the previous frame.
  const std::string damaged(
      "\x28\xB5\x2F\xFD\x24\x1E\xB2\x00\x00"
      "a\x61\x00\x00"
      "bcdefghijklm",
      25);
  const std::string large = zstd_frame(std::string(100'000, 'x'));
  const TemporaryFolder folder;
  const auto decoded = [&folder](const std::string& bytes, std::uint64_t from) {
    auto file = std::make_unique<InputFile>(folder.write("shard.zst", bytes));
    file->seek(from);
    const auto stream = open_bytes(std::move(file), Container::zstd, {.offset = from});
    std::string content, buffer(4096, '\0');
    ByteStream::Piece piece;
    do {
      piece = stream->read(buffer.data(), buffer.size());
      content.append(buffer, 0, piece.bytes);
    } while (piece.bytes > 0 || piece.fault);
    return content;
  };
  const std::string alone = decoded(damaged, 0);
  const std::string behind = decoded(large + damaged, 0);
  EXPECT_EQ(behind.substr(100'000), alone);
  EXPECT_EQ(decoded(large + damaged, large.size()), alone);
}

RC_GTEST_PROP(LineSplitter, GivesTheSameLinesHoweverTheBytesArriveInPieces, ()) {
  const auto letters = rc::gen::container<std::string>(rc::gen::element('a', 'b', ' ', '\r', '"'));
  const auto lines = *rc::gen::container<Strings>(letters);
  const auto cuts = *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, 40));
  std::string bytes;
  Strings expected;
  std::vector<std::uint64_t> offsets;
  for (std::string line : lines) {
    const std::uint64_t offset = bytes.size();
    bytes += line + "\n";
    if (line.find_first_not_of(" \r") == std::string::npos) continue;
    if (line.back() == '\r') line.pop_back();
    expected.push_back(line);
    offsets.push_back(offset);
  }
  const std::vector<Found> found = split(bytes, 1 << 20, cuts);
  RC_ASSERT(texts(found) == expected);
  for (std::size_t i = 0; i < found.size(); ++i) RC_ASSERT(found[i].byte == offsets[i]);
}

RC_GTEST_PROP(LineSplitter, GivesTheSameLinesHoweverTheShardIsCutIntoFrames, ()) {
  const auto lines = *rc::gen::container<Strings>(
      rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>('a', 'z'))));
  std::string bytes;
  for (const std::string& line : lines) bytes += line + "\n";
  const bool gzip = *rc::gen::arbitrary<bool>();
  std::string shard = gzip ? gzip_member("") : zstd_frame("");
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = *rc::gen::inRange<std::size_t>(0, bytes.size() - at + 1);
    const std::string part = bytes.substr(at, size);
    shard += gzip ? gzip_member(part) : zstd_frame(part, {*rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>()});
    if (!gzip && size % 3 == 0) shard += skippable_frame(part);
    at += std::max<std::size_t>(size, 1);
    if (size == 0) {
      const std::string byte = bytes.substr(at - 1, 1);
      shard += gzip ? gzip_member(byte) : zstd_frame(byte);
    }
  }
  const TemporaryFolder folder;
  auto file = std::make_unique<InputFile>(folder.write("shard", shard));
  const Container container = container_of(*file);
  RC_ASSERT(container == (gzip ? Container::gzip : Container::zstd));
  LineSplitter splitter(open_bytes(std::move(file), container), 1 << 20);
  Strings found;
  Line line;
  while (splitter.next(line) == LineSplitter::Step::line) found.emplace_back(line.bytes);
  RC_ASSERT(found == lines);
}

}  // namespace
}  // namespace millrace
