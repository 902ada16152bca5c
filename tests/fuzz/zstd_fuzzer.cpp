// The zstd stream on a file of the input's bytes. Reading ends; the size of reads does not matter; what libzstd decodes
// completely is decoded completely; and reading from each reported frame gives the rest again.
#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <zstd.h>

#include "stages/compression/zstd_stream.h"
#include "stages/shards/shard_to_bytes.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

// A frame may ask for a window of 2 GB. The fuzzer refuses it, as a machine without enough memory would.
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1:max_allocation_size_mb=64";
}

namespace millrace {
namespace {

constexpr std::size_t kMostContent = 4 << 20;  // Files that decompress to more are not read to the end.
constexpr std::size_t kMostReopened = 3;

struct Fault {
  RejectCause cause;
  std::uint64_t lost_bytes;
  std::size_t content;  // Bytes before it.
  std::size_t frames;   // Reported before it.

  bool operator==(const Fault&) const = default;
};

struct Frame {
  std::uint64_t offset;
  std::size_t content;

  bool operator==(const Frame&) const = default;
};

struct Decoded {
  std::string content;
  std::vector<Fault> faults;
  std::vector<Frame> frames;
  bool cut_off = false;

  bool operator==(const Decoded&) const = default;
};

Decoded decode(const MemoryFile& file, std::uint64_t offset, std::size_t size, std::size_t capacity) {
  const auto stream = open_bytes(std::make_unique<InputFile>(file.path()), Container::zstd, {.offset = offset});
  Decoded decoded;
  std::vector<char> buffer(capacity);
  for (;;) {
    const ByteStream::Piece piece = stream->read(buffer.data(), capacity);
    require(piece.bytes <= capacity, "a read fills no more than it may");
    if (piece.bytes == 0 && !piece.fault) break;
    if (piece.frame) {
      require(piece.bytes > 0, "a frame is named with its first bytes");
      require(*piece.frame >= offset && *piece.frame < size, "a frame stands in the file");
      require(decoded.frames.empty() || decoded.frames.back().offset < *piece.frame, "frames come in their order");
      decoded.frames.push_back({*piece.frame, decoded.content.size()});
    }
    decoded.content.append(buffer.data(), piece.bytes);
    if (piece.fault) {
      require(!piece.fault->reason.empty(), "a fault says what it is");
      require(piece.fault->lost_bytes <= size, "no more is lost than there is");
      decoded.faults.push_back(
          {piece.fault->cause, piece.fault->lost_bytes, decoded.content.size(), decoded.frames.size()});
      require(decoded.faults.size() <= size, "there are fewer faults than bytes");
    }
    if (decoded.content.size() > kMostContent) {
      decoded.cut_off = true;
      break;
    }
  }
  require(decoded.content.empty() || !decoded.frames.empty(), "bytes belong to a frame");
  return decoded;
}

/// All frames by libzstd's streaming decoder alone; nothing unless they fill the file.
std::optional<std::string> decode_by_libzstd(const std::uint8_t* data, std::size_t size) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 31);
  std::string content;
  std::vector<char> buffer(1 << 17);
  ZSTD_inBuffer in{data, 0, 0};
  std::size_t status = 0;
  for (bool more = size > 0; more;) {
    const bool begins = status == 0;
    // Debian's libzstd also knows the formats from before version 1.
    if (begins && (size - in.pos < 4 || !is_zstd_magic(reinterpret_cast<const char*>(data) + in.pos))) return {};
    // Given a whole small frame it does not stream, and is stricter: it then refuses an empty last block before the
    // promised content is complete.
    in.size = begins ? in.pos + 1 : size;
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    status = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(status) || content.size() > kMostContent) return {};
    content.append(buffer.data(), out.pos);
    more = in.pos < size || (status != 0 && out.pos == out.size);
  }
  return status == 0 ? std::optional(content) : std::nullopt;
}

/// The content from frame number `first` on.
Decoded from_frame(const Decoded& all, std::size_t first) {
  const std::size_t before = all.frames[first].content;
  Decoded rest;
  rest.content = all.content.substr(before);
  for (const Fault& fault : all.faults) {
    if (fault.frames <= first) continue;
    rest.faults.push_back({fault.cause, fault.lost_bytes, fault.content - before, fault.frames - first});
  }
  for (std::size_t i = first; i < all.frames.size(); ++i) {
    rest.frames.push_back({all.frames[i].offset, all.frames[i].content - before});
  }
  return rest;
}

void try_file(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  const Decoded decoded = decode(file, 0, size, 1 << 17);
  if (decoded.cut_off) return;

  const std::size_t small = 1 + (size * 31 + (size > 0 ? data[size - 1] : 0)) % 500;
  require(decode(file, 0, size, small) == decoded, "how much is asked for at a time changes nothing");

  const std::optional<std::string> whole = decode_by_libzstd(data, size);
  require(decoded.faults.empty() == whole.has_value(), "faults are told where libzstd meets them");
  if (whole) require(decoded.content == *whole, "what libzstd decodes whole comes out whole");

  for (std::size_t i = 0; i < std::min(decoded.frames.size(), kMostReopened); ++i) {
    const Decoded again = decode(file, decoded.frames[i].offset, size, 1 << 16);
    require(again == from_frame(decoded, i), "from a frame on, the rest comes out again");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    millrace::try_file(data, size);
  } catch (const std::bad_alloc&) {  // A refused window: see above.
  }
  return 0;
}
