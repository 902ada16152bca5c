#include "stages/compression/frame_tally.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/stages/shards/shard_fixture.h"

namespace millrace {
namespace {

constexpr FrameOptions kNoSize{.checksum = true, .content_size = false};

TEST(ALostFrame, CountsAsTheContentSizeInItsHeader) {
  FrameTally tally({});
  tally.begin_frame(0, 5000);
  EXPECT_EQ(tally.lose_rest(10, 100), 5000U);
  tally.begin_frame(100, 5000);
  tally.add(1200);
  EXPECT_EQ(tally.lose_rest(150, 200), 3800U);
}

TEST(ALostFrame, WithoutASizeCountsAsItsLengthTimesTheRatioOfTheFramesBefore) {
  FrameTally tally({});
  tally.begin_frame(0);
  tally.add(700);
  for (std::uint64_t begin = 100; begin < 1100; begin += 100) {  // Independent of how many were lost before it.
    tally.begin_frame(begin);
    EXPECT_EQ(tally.lose_rest(begin + 100, begin + 100), 700U);
  }
}

TEST(ALostFrame, CountsThreefoldBeforeThereIsARatio) {
  FrameTally tally({});
  tally.begin_frame(0);
  EXPECT_EQ(tally.lose_rest(10, 100), 300U);
  tally.begin_frame(100);
  EXPECT_EQ(tally.lose_rest(110, 300), 600U);
}

TEST(ALostFrame, ThatIsTheFilesOnlyOneCountsByItsOwnRatio) {
  FrameTally tally({});
  tally.begin_frame(0);
  tally.add(400);
  EXPECT_EQ(tally.lose_rest(100, 1000), 3600U);
}

TEST(ALostFrame, CannotCountAsMoreThanItsBytesCouldHold) {
  FrameTally tally({});
  tally.begin_frame(0, std::uint64_t{1} << 60);
  EXPECT_LE(tally.lose_rest(10, 100), 100U << 15);
}

TEST(ALostFrame, CountsTheSameWhereverReadingBegan) {
  FrameTally whole({});
  whole.begin_frame(0);
  whole.add(500);
  whole.begin_frame(100);
  whole.add(20);
  whole.lose_rest(130, 200);
  whole.begin_frame(200);
  FrameTally rest({.offset = 200, .content = 520, .lost = whole.lost()});
  rest.begin_frame(200);
  for (FrameTally* tally : {&whole, &rest}) {
    tally->add(550);
    tally->begin_frame(300);
  }
  const std::uint64_t lost = whole.lose_rest(310, 400);
  EXPECT_EQ(rest.lose_rest(310, 400), lost);
  EXPECT_NEAR(static_cast<double>(lost), 535, 30);
}

TEST(ALossCount, StaysAtTheLargestNumber) {
  Loss loss{1, ~std::uint64_t{0} - 5};
  loss += {2, 100};
  EXPECT_EQ(loss, (Loss{3, ~std::uint64_t{0}}));
}

std::string lines(int from, int to) {
  std::string all;
  for (int i = from; i < to; ++i) all += json_line("document number " + std::to_string(1000 + i));
  return all;
}

std::string broken(std::string frame) {
  for (std::size_t i = 14; i < frame.size() && i < 60; ++i) frame[i] = '\x7F';
  return frame;
}

Loss sum_of(const Reading& reading) {
  Loss sum{0, 0};
  for (const Reject& reject : reading.rejects) sum += reject.loss;
  return sum;
}

class WhatAShardLost : public ::testing::Test {
 protected:
  Loss lost(const std::string& bytes) const { return sum_of(read_shard(folder_.write("shard", bytes))); }
  TemporaryFolder folder_;
};

TEST_F(WhatAShardLost, IsTheContentOfItsDamagedFrames) {
  const auto size = static_cast<double>(lines(0, 1000).size());
  for (const FrameOptions& options : {FrameOptions{}, kNoSize}) {
    std::string bytes = zstd_frame(lines(0, 1000), options);
    for (int frame = 1; frame <= 10; ++frame)
      bytes += broken(zstd_frame(lines(1000 * frame, 1000 * frame + 1000), options));
    bytes += zstd_frame(lines(0, 5), options);
    EXPECT_NEAR(static_cast<double>(lost(bytes).bytes), 10 * size, 1.5 * size) << options.content_size;
  }
}

TEST_F(WhatAShardLost, IsAllBehindADamagedMemberOrFrame) {
  const auto size = static_cast<double>(lines(0, 1000).size());
  std::string members = gzip_member(lines(0, 1000));
  const std::size_t behind_header = members.size() + 10;
  for (int i = 0; i < 9; ++i) members += gzip_member(lines(0, 1000));
  members[behind_header] = '\xFF';  // A block of an undefined type.
  EXPECT_NEAR(static_cast<double>(lost(members).bytes), 9 * size, size / 5);
  std::string frames = zstd_frame(lines(0, 1000), kNoSize);
  const std::size_t second = frames.size();
  for (int i = 0; i < 9; ++i) frames += zstd_frame(lines(0, 1000), kNoSize);
  frames[second] = '?';  // What follows is no longer a frame.
  EXPECT_NEAR(static_cast<double>(lost(frames).bytes), 9 * size, size / 5);
}

TEST_F(WhatAShardLost, IsALineForALineAndItsBytes) {
  const std::string bad = "{\"text\": 7}\n";
  EXPECT_EQ(lost(lines(0, 3) + bad + lines(3, 5) + "nothing\n"), (Loss{2, bad.size() + 8}));
}

TEST_F(WhatAShardLost, HasTheLineThatATruncatedFileCuts) {
  const std::string text = lines(0, 300);
  const std::string frame = zstd_frame(text);
  const Loss loss = lost(frame.substr(0, frame.size() * 2 / 3));
  const Reading reading = read_shard(folder_.write("shard", frame.substr(0, frame.size() * 2 / 3)));
  EXPECT_EQ(loss.bytes, text.size() - lines(0, static_cast<int>(reading.documents.size())).size());
}

TEST_F(WhatAShardLost, IsTheWholeFileIfThatCannotBeRead) {
  EXPECT_EQ(sum_of(read_shard(folder_.path().string())).records, 0U);
  EXPECT_EQ(sum_of(read_shard((folder_.path() / "missing").string())), (Loss{0, 0}));
}

RC_GTEST_FIXTURE_PROP(WhatAShardLost, IsAllThatWasNotRead, ()) {
  const auto sizes = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(50, 400)));
  std::string bytes;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(sizes.size(), 12); ++i) {
    const std::string text = lines(0, sizes[i]);
    all += text.size();
    bytes += *rc::gen::arbitrary<bool>() ? broken(zstd_frame(text)) : zstd_frame(text);
  }
  const Reading reading = read_shard(folder_.write("shard", bytes));
  std::uint64_t read = 0;
  for (const Document& document : reading.documents) read += document.where.size;
  RC_ASSERT(read + sum_of(reading).bytes == all);
}

}  // namespace
}  // namespace millrace
