#include "stages/compression/zstd_stream.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "stages/compression/frame_tally.h"

namespace millrace {
namespace {

constexpr int kLargestWindowLog = 31;
constexpr std::uint32_t kMagic = 0xFD2FB528U;
constexpr std::uint32_t kSkippableMagic = 0x184D2A50U;  // The lowest four bits are free.
constexpr std::size_t kMagicBytes = 4;
constexpr std::size_t kFrameHeaderBytes = 5;  // The shortest there is.
constexpr std::size_t kLongestFrameHeader = 18;
constexpr std::size_t kBlockHeaderBytes = 3;

std::uint32_t little_endian(const char* bytes, int count) {
  std::uint32_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// The end of the frame at `start`, found from its block headers alone (RFC 8878, 3.1.1), if the file confirms it: it
/// ends there or another frame begins.
std::optional<std::uint64_t> end_of_frame(const InputFile& file, std::uint64_t start) {
  char head[8];
  if (file.read_at(start, head, sizeof head) < sizeof head) return std::nullopt;
  std::uint64_t position = start;
  if (little_endian(head, 4) != kMagic) {
    position += 8 + std::uint64_t{little_endian(head + 4, 4)};
  } else {
    const auto descriptor = static_cast<unsigned char>(head[4]);
    const bool single_segment = (descriptor >> 5 & 1) != 0;
    static constexpr int kDictionaryIdBytes[] = {0, 1, 2, 4};
    static constexpr int kContentSizeBytes[] = {0, 2, 4, 8};
    const int content_size = descriptor >> 6 == 0 ? (single_segment ? 1 : 0) : kContentSizeBytes[descriptor >> 6];
    position +=
        static_cast<std::uint64_t>(5 + (single_segment ? 0 : 1) + kDictionaryIdBytes[descriptor & 3] + content_size);
    for (bool last = false; !last;) {
      char block[3];
      if (file.read_at(position, block, sizeof block) < sizeof block) return std::nullopt;
      const std::uint32_t header = little_endian(block, 3);
      const std::uint32_t type = header >> 1 & 3;
      if (type == 3) return std::nullopt;
      position += 3 + (type == 1 ? 1 : header >> 3);
      last = (header & 1) != 0;
    }
    if ((descriptor >> 2 & 1) != 0) position += 4;
  }
  if (position == file.size()) return position;
  char next[kMagicBytes];
  if (position > file.size() || file.read_at(position, next, sizeof next) < sizeof next) return std::nullopt;
  return is_zstd_magic(next) ? std::optional(position) : std::nullopt;
}

/// The beginning of the frame after the one at `start`, from the seekable format's table at the file's end: a skippable
/// frame with one entry per frame {compressed size, content size[, checksum]} and a footer {frames, descriptor, magic}.
std::optional<std::uint64_t> next_in_seek_table(const InputFile& file, std::uint64_t start) {
  constexpr std::uint32_t kTableMagic = 0x184D2A5EU;
  constexpr std::uint32_t kFooterMagic = 0x8F92EAB1U;
  constexpr std::uint64_t kHeaderBytes = 8;
  constexpr std::uint64_t kFooterBytes = 9;
  char footer[kFooterBytes];
  if (file.size() < kHeaderBytes + kFooterBytes) return std::nullopt;
  if (file.read_at(file.size() - kFooterBytes, footer, kFooterBytes) < kFooterBytes) return std::nullopt;
  if (little_endian(footer + 5, 4) != kFooterMagic) return std::nullopt;
  const std::uint64_t entry_bytes = (static_cast<unsigned char>(footer[4]) & 0x80U) != 0 ? 12 : 8;
  const std::uint64_t table_bytes = entry_bytes * little_endian(footer, 4) + kFooterBytes;
  if (table_bytes + kHeaderBytes > file.size()) return std::nullopt;
  const std::uint64_t table = file.size() - table_bytes - kHeaderBytes;
  std::vector<char> bytes(static_cast<std::size_t>(table_bytes + kHeaderBytes));
  if (file.read_at(table, bytes.data(), bytes.size()) < bytes.size()) return std::nullopt;
  if (little_endian(bytes.data(), 4) != kTableMagic || little_endian(bytes.data() + 4, 4) != table_bytes)
    return std::nullopt;
  std::uint64_t end = 0;
  for (std::uint64_t at = kHeaderBytes; at + kFooterBytes < bytes.size() && end <= start; at += entry_bytes)
    end += little_endian(bytes.data() + at, 4);
  if (end <= start || end > table) return std::nullopt;
  char next[kMagicBytes];
  return file.read_at(end, next, sizeof next) == sizeof next && is_zstd_magic(next) ? std::optional(end) : std::nullopt;
}

class ZstdStream final : public ByteStream {
 public:
  ZstdStream(std::unique_ptr<InputFile> file, const SeekPoint& from) : file_(std::move(file)), tally_(from) {}

  Piece read(char* into, std::size_t capacity) override {
    Piece piece;
    ZSTD_outBuffer out{into, capacity, 0};
    while (out.pos < out.size && !piece.fault && !(at_boundary_ && out.pos > 0)) {
      if (at_boundary_ && !begin_frame()) {
        piece.fault = std::exchange(fault_, std::nullopt);
        break;
      }
      const InputFile::View view = file_->peek();
      ZSTD_inBuffer in{view.data, std::min(view.size, next_step()), 0};
      const std::size_t written = out.pos;
      const std::size_t status = ZSTD_decompressStream(context_.get(), &out, &in);
      file_->consume(in.pos);
      hint_ = status;
      flushing_ = out.pos == out.size;
      if (out.pos > written) {
        const bool first = std::exchange(frame_is_fresh_, false);
        if (first) piece.frame = frame_start_;
        if (first) piece.lost = tally_.lost();
        tally_.add(out.pos - written);
      }
      if (ZSTD_isError(status)) {
        piece.fault = damaged(status);
      } else {
        at_boundary_ = status == 0;
        if (view.size == 0 && out.pos == written && !at_boundary_) piece.fault = truncated();
      }
    }
    piece.bytes = out.pos;
    return piece;
  }

  double share_read() const override { return file_->share_read(); }

 private:
  /// How many bytes the decoder gets per call: one header, block or checksum, never two. A failing call does not return
  /// what it decoded before the error. With one block per call nothing is lost that way, and the output of a damaged
  /// frame does not depend on the read size.
  std::size_t next_step() const {
    if (flushing_) return 0;
    return hint_ > kBlockHeaderBytes ? hint_ - kBlockHeaderBytes : hint_;
  }

  /// False at the end of what can be read; fault_ says why, unless it is simply the end.
  bool begin_frame() {
    frame_start_ = file_->position();
    if (finished_) return false;
    const InputFile::View view = file_->peek(kLongestFrameHeader);
    if (view.size >= kMagicBytes && is_zstd_magic(view.data)) {
      const unsigned long long size = ZSTD_getFrameContentSize(view.data, view.size);
      const bool is_known = size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR;
      tally_.begin_frame(frame_start_, is_known ? std::optional<std::uint64_t>(size) : std::nullopt);
      begin_context();
      at_boundary_ = false;
      frame_is_fresh_ = true;
      flushing_ = false;
      hint_ = kFrameHeaderBytes;
      return true;
    }
    finished_ = true;
    if (view.size > 0) {
      const std::uint64_t rest = file_->size() - frame_start_;
      tally_.begin_frame(frame_start_);
      fault_ = ContainerFault{
          RejectCause::trailing_garbage,
          fmt::format("bytes {}-{} behind the last zstd frame are no frame", frame_start_, file_->size()), rest, false,
          tally_.lose_rest(frame_start_, file_->size())};
    }
    return false;
  }

  /// A new context for each frame: how much of a damaged frame is decoded depends on the buffer's size, and a reused
  /// context keeps the buffer of a larger frame. So a frame gives the same bytes wherever reading began.
  void begin_context() {
    context_.reset(ZSTD_createDCtx());
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kLargestWindowLog);
  }

  ContainerFault truncated() {
    finished_ = at_boundary_ = true;
    return {RejectCause::truncated,
            fmt::format("the file ends at byte {} inside the zstd frame that begins at byte {}", file_->position(),
                        frame_start_),
            0, true, tally_.lose_rest(file_->position(), std::nullopt)};
  }

  ContainerFault damaged(std::size_t status) {
    if (ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    const std::uint64_t failed_at = file_->position();
    std::optional<std::uint64_t> next = next_in_seek_table(*file_, frame_start_);
    if (!next) next = end_of_frame(*file_, frame_start_);
    at_boundary_ = true;
    finished_ = !next;
    const std::uint64_t resume = next.value_or(file_->size());
    file_->seek(resume);
    return {RejectCause::damaged_frame,
            fmt::format("the zstd frame at bytes {}-{} fails at byte {}: {}", frame_start_, resume, failed_at,
                        ZSTD_getErrorName(status)),
            resume - std::min(resume, failed_at), true, tally_.lose_rest(failed_at, resume)};
  }

  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  std::unique_ptr<InputFile> file_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  FrameTally tally_;
  std::uint64_t frame_start_ = 0;
  std::size_t hint_ = 0;   // What libzstd asks for next: this step and the next block's header.
  bool flushing_ = false;  // It may still have bytes to hand out.
  bool at_boundary_ = true;
  bool frame_is_fresh_ = false;  // None of its bytes was returned yet.
  bool finished_ = false;
  std::optional<ContainerFault> fault_;
};

}  // namespace

bool is_zstd_magic(const char* bytes) {
  const std::uint32_t magic = little_endian(bytes, 4);
  return magic == kMagic || (magic & 0xFFFFFFF0U) == kSkippableMagic;
}

std::unique_ptr<ByteStream> open_zstd_stream(std::unique_ptr<InputFile> file, const SeekPoint& from) {
  return std::make_unique<ZstdStream>(std::move(file), from);
}

}  // namespace millrace
