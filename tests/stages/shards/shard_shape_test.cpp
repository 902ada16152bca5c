#include "stages/shards/shard_shape.h"

#include <string>

#include <gtest/gtest.h>

#include "stages/compression/frame_tally.h"
#include "tests/stages/shards/shard_fixture.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

constexpr FrameOptions kNoSize{.checksum = true, .content_size = false};
constexpr std::size_t kContent = 6 << 20;

/// Text that packs alike everywhere, behind `easy` bytes that pack much better.
std::string text(std::size_t easy = 0) {
  std::string text;
  while (text.size() < easy) text += "the mill stands at the river\n";
  for (std::uint64_t i = 1; text.size() < kContent; ++i) text += std::to_string(i * 0x9E3779B97F4A7C15U) + "\n";
  text.resize(kContent);
  return text;
}

class AShardsShape : public testing::Test {
 protected:
  ShardShape of(const std::string& name, const std::string& bytes) {
    return shape_of(folder_.write(name, bytes).string());
  }
  TemporaryFolder folder_;
};

TEST_F(AShardsShape, IsItsBytesIfItIsPlain) {
  const ShardShape shape = of("plain.jsonl", "{\"text\":\"mill\"}\n");
  EXPECT_EQ(shape.file_bytes, 16U);
  EXPECT_EQ(shape.content_bytes(), 16U);
  EXPECT_EQ(shape.packed_bytes(5), 5U);
  EXPECT_EQ(shape.window, 0U);
  EXPECT_EQ(shape.frame, 0U) << "every line can be read by itself";
}

TEST_F(AShardsShape, HasTheContentThatAFrameOrAMemberNames) {
  EXPECT_EQ(of("one.jsonl.zst", zstd_frame(text())).content_bytes(), kContent);
  EXPECT_EQ(of("one.jsonl.gz", gzip_member(text())).content_bytes(), kContent);
}

TEST_F(AShardsShape, DoesNotBelieveASizeThatItsBeginningMakesUnlikely) {
  EXPECT_GT(of("one.jsonl.zst", zstd_frame(text(kContent / 2))).content_bytes(), 2 * kContent)
      << "it could be one of several frames";
}

TEST_F(AShardsShape, IsReadAgainFromItsBeginningIfItIsOneFrame) {
  const ShardShape shape = of("one.jsonl.zst", zstd_frame(text()));
  EXPECT_EQ(shape.frame, kContent);
  EXPECT_GT(shape.window, 0U);
}

TEST_F(AShardsShape, IsReadAgainFromAFrameIfItHasMany) {
  std::string frames;
  const std::string all = text();
  for (std::size_t at = 0; at < all.size(); at += 64 << 10) frames += zstd_frame(all.substr(at, 64 << 10));
  const ShardShape shape = of("many.jsonl.zst", frames);
  EXPECT_EQ(shape.frame, 64U << 10);
  EXPECT_NE(shape.content_bytes(), 64U << 10) << "the first frame's size is not the file's";
}

TEST_F(AShardsShape, GoesByTheRatioOfItsBeginningIfNoSizeIsNamed) {
  const std::string bytes = zstd_frame(text(), kNoSize);
  const ShardShape shape = of("one.jsonl.zst", bytes);
  EXPECT_GE(shape.content, shape.packed);
  EXPECT_EQ(shape.packed_bytes(shape.content), shape.packed);
}

TEST_F(AShardsShape, HasTheRatioOfAnUnknownOneIfItCannotBeRead) {
  std::string bytes = zstd_frame(text());
  bytes.replace(4, 64, 64, '\xFF');
  EXPECT_EQ(of("broken.jsonl.zst", bytes).content_bytes(), bytes.size() * kUnknownRatio);
  const ShardShape none = shape_of((folder_.path() / "none.jsonl.zst").string());
  EXPECT_EQ(none.file_bytes, 0U);
  EXPECT_EQ(none.packed_bytes(kUnknownRatio), 1U);
}

}  // namespace
}  // namespace millrace
