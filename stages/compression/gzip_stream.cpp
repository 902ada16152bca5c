#include "stages/compression/gzip_stream.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <zlib.h>

#include "stages/compression/frame_tally.h"

namespace millrace {
namespace {

constexpr int kGzipOnly = 16 + MAX_WBITS;

class GzipStream final : public ByteStream {
 public:
  GzipStream(std::unique_ptr<InputFile> file, const SeekPoint& from) : file_(std::move(file)), tally_(from) {
    if (inflateInit2(&inflater_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipStream() override { inflateEnd(&inflater_); }

  Piece read(char* into, std::size_t capacity) override {
    Piece piece;
    while (piece.bytes < capacity && !piece.fault && !(at_boundary_ && piece.bytes > 0)) {
      if (at_boundary_ && !begin_member()) {
        piece.fault = std::exchange(fault_, std::nullopt);
        break;
      }
      const InputFile::View view = file_->peek();
      inflater_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(view.data));
      inflater_.avail_in = static_cast<uInt>(view.size);
      inflater_.next_out = reinterpret_cast<Bytef*>(into + piece.bytes);
      const std::size_t room = std::min<std::size_t>(capacity - piece.bytes, std::numeric_limits<uInt>::max());
      inflater_.avail_out = static_cast<uInt>(room);
      const int status = inflate(&inflater_, Z_NO_FLUSH);
      file_->consume(view.size - inflater_.avail_in);
      const std::size_t written = room - inflater_.avail_out;
      if (status == Z_MEM_ERROR) throw std::bad_alloc();
      if (written > 0) {
        const bool first = std::exchange(member_is_fresh_, false);
        if (first) piece.frame = member_start_;
        if (first) piece.lost = tally_.lost();
        tally_.add(written);
      }
      piece.bytes += written;
      if (status == Z_STREAM_END) {
        at_boundary_ = true;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        piece.fault = damaged();
      } else if (view.size == 0 && written == 0) {
        piece.fault = truncated();
      }
    }
    return piece;
  }

  double share_read() const override { return file_->share_read(); }

 private:
  /// False at the end of what can be read; fault_ says why, unless it is simply the end.
  bool begin_member() {
    if (finished_) return false;
    member_start_ = file_->position();
    tally_.begin_frame(member_start_);
    const InputFile::View view = file_->peek(2);
    if (view.size >= 2 && view.data[0] == '\x1f' && view.data[1] == '\x8b') {
      inflateReset(&inflater_);
      at_boundary_ = false;
      member_is_fresh_ = true;
      return true;
    }
    finished_ = true;
    if (!only_zeros_follow()) {
      fault_ = ContainerFault{
          RejectCause::trailing_garbage,
          fmt::format("bytes {}-{} behind the last gzip member are no member", member_start_, file_->size()),
          file_->size() - member_start_, false, tally_.lose_rest(member_start_, file_->size())};
    }
    return false;
  }

  bool only_zeros_follow() {
    for (;;) {
      const InputFile::View view = file_->peek();
      if (view.size == 0) return true;
      if (!std::all_of(view.data, view.data + view.size, [](char byte) { return byte == 0; })) return false;
      file_->consume(view.size);
    }
  }

  ContainerFault truncated() {
    finished_ = at_boundary_ = true;
    return {RejectCause::truncated,
            fmt::format("the file ends at byte {} inside the gzip member that begins at byte {}", file_->position(),
                        member_start_),
            0, true, tally_.lose_rest(file_->position(), std::nullopt)};
  }

  ContainerFault damaged() {
    finished_ = at_boundary_ = true;
    const std::uint64_t failed_at = file_->position();
    return {RejectCause::damaged_frame,
            fmt::format("the gzip member at byte {} fails at byte {}: {}", member_start_, failed_at,
                        inflater_.msg != nullptr ? inflater_.msg : "damaged data"),
            file_->size() - std::min(file_->size(), failed_at), true, tally_.lose_rest(failed_at, file_->size())};
  }

  std::unique_ptr<InputFile> file_;
  z_stream inflater_{};
  FrameTally tally_;
  std::uint64_t member_start_ = 0;
  bool at_boundary_ = true;
  bool member_is_fresh_ = false;  // None of its bytes was returned yet.
  bool finished_ = false;
  std::optional<ContainerFault> fault_;
};

}  // namespace

std::unique_ptr<ByteStream> open_gzip_stream(std::unique_ptr<InputFile> file, const SeekPoint& from) {
  return std::make_unique<GzipStream>(std::move(file), from);
}

}  // namespace millrace
