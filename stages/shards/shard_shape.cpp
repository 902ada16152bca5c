#define ZSTD_STATIC_LINKING_ONLY
#include "stages/shards/shard_shape.h"

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>
#include <vector>

#include <zlib.h>
#include <zstd.h>

#include "stages/compression/frame_tally.h"
#include "stages/io/input_file.h"
#include "stages/shards/shard_to_bytes.h"

namespace millrace {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::size_t kHead = 256 << 10;
constexpr std::uint64_t kGzipWindow = 32 << 10;
constexpr std::uint64_t kGzipSizeBytes = 4;  // At a member's end: its content's size modulo 2^32, low byte first.
constexpr double kLeastLikely = 0.6;         // Between one frame of one and one of two.
constexpr int kGzipFraming = 15 + 16;        // The largest window, in gzip's framing.

/// Notes that `head`, up to `packed`, gave `content` bytes.
void note(ShardShape& shape, std::uint64_t packed, std::uint64_t content) {
  if (packed == 0 || content == 0) return;
  shape.packed = packed;
  shape.content = content;
}

/// Takes `content` for that of the whole file, which is exact where the file is one frame or member: of several it is
/// one's, and far from what the head lets expect.
void note_whole(ShardShape& shape, std::uint64_t content) {
  const auto expected =
      static_cast<double>(shape.file_bytes) * static_cast<double>(shape.content) / static_cast<double>(shape.packed);
  const double ratio = static_cast<double>(content) / expected;
  if (ratio < kLeastLikely || ratio > 1 / kLeastLikely) return;
  shape.packed = shape.file_bytes;
  shape.content = content;
}

void measure_zstd(ShardShape& shape, const std::vector<char>& head) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 31);
  ZSTD_frameHeader header;
  const bool has_header = ZSTD_getFrameHeader(&header, head.data(), head.size()) == 0;
  if (has_header) shape.window = header.windowSize;
  std::vector<char> content(ZSTD_DStreamOutSize());
  ZSTD_inBuffer in{head.data(), head.size(), 0};
  std::uint64_t decompressed = 0;
  for (;;) {
    ZSTD_outBuffer out{content.data(), content.size(), 0};
    const std::size_t before = in.pos;
    const std::size_t left = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(left) != 0) break;
    decompressed += out.pos;
    if (left == 0 && shape.frame == 0) shape.frame = decompressed;
    if (out.pos < out.size && (in.pos == in.size || in.pos == before)) break;
  }
  note(shape, in.pos, decompressed);
  if (has_header && header.frameContentSize != ZSTD_CONTENTSIZE_UNKNOWN) note_whole(shape, header.frameContentSize);
}

void measure_gzip(ShardShape& shape, InputFile& file, std::vector<char>& head) {
  shape.window = kGzipWindow;
  z_stream inflater{};
  if (inflateInit2(&inflater, kGzipFraming) != Z_OK) return;
  std::vector<char> content(kHead);
  std::uint64_t decompressed = 0;
  inflater.next_in = reinterpret_cast<Bytef*>(head.data());
  inflater.avail_in = static_cast<uInt>(head.size());
  for (int status = Z_OK; status == Z_OK;) {
    inflater.next_out = reinterpret_cast<Bytef*>(content.data());
    inflater.avail_out = static_cast<uInt>(content.size());
    status = inflate(&inflater, Z_NO_FLUSH);
    decompressed += content.size() - inflater.avail_out;
    if (status == Z_STREAM_END && shape.frame == 0) shape.frame = decompressed;
    if (status == Z_STREAM_END && inflater.avail_in > 0) status = inflateReset(&inflater);
  }
  note(shape, head.size() - inflater.avail_in, decompressed);
  inflateEnd(&inflater);
  std::array<unsigned char, kGzipSizeBytes> size{};
  if (shape.file_bytes < size.size()) return;
  if (file.read_at(shape.file_bytes - size.size(), reinterpret_cast<char*>(size.data()), size.size()) != size.size())
    return;
  std::uint64_t whole = 0;
  for (std::size_t i = size.size(); i-- > 0;) whole = whole << 8 | size[i];
  note_whole(shape, whole);
}

}  // namespace

std::uint64_t ShardShape::packed_bytes(std::uint64_t bytes) const {
  return static_cast<std::uint64_t>(static_cast<Wide>(bytes) * packed / content);
}

std::uint64_t ShardShape::content_bytes() const {
  return static_cast<std::uint64_t>(static_cast<Wide>(file_bytes) * content / packed);
}

ShardShape shape_of(const std::string& path) {
  ShardShape shape;
  try {
    InputFile file(path);
    shape.file_bytes = file.size();
    const Container container = container_of(file);
    if (container == Container::plain) return shape;
    shape.content = kUnknownRatio;
    if (container == Container::parquet) return shape;
    std::vector<char> head(kHead);
    head.resize(file.read_at(0, head.data(), head.size()));
    container == Container::zstd ? measure_zstd(shape, head) : measure_gzip(shape, file, head);
    if (shape.frame == 0) shape.frame = shape.content_bytes();
  } catch (const std::system_error&) {
    shape.content = kUnknownRatio;
  }
  return shape;
}

}  // namespace millrace
