#include "stages/shards/shard_to_lines.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace millrace {
namespace {

constexpr std::size_t kFirstBufferBytes = 512 << 10;
constexpr std::size_t kLeastFetch = 64 << 10;
constexpr std::size_t kLargeBufferBytes = 4 << 20;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

LineSplitter::LineSplitter(std::unique_ptr<ByteStream> stream, std::uint64_t max_line_bytes, const SeekPoint& from)
    : stream_(std::move(stream)),
      max_line_bytes_(max_line_bytes),
      buffer_(kFirstBufferBytes + kLinePadding),
      record_(from.record),
      number_(from.line),
      byte_(from.byte),
      content_(from.content),
      skip_(from.byte - from.content),
      point_(from) {}

LineSplitter::Step LineSplitter::next(Line& line) {
  for (;;) {
    pass_frames();
    if (find_end_of_line()) {
      const std::size_t length = scanned_ - begin_;
      take(length, line);
      begin_ = ++scanned_;
      ++byte_;
    } else if (pending_fault_ && fault_.cuts_line) {
      return stop_at_fault(line);
    } else if (pending_fault_ || at_end_) {
      if (end_ == begin_ && dropped_ == 0) return pending_fault_ ? stop_at_fault(line) : Step::end;
      take(end_ - begin_, line);
      begin_ = scanned_ = end_;
    } else {
      fetch();
      continue;
    }
    ++number_;
    if (!line.too_long && is_blank(line.bytes)) continue;
    line.record = record_++;
    pass_frames();
    return Step::line;
  }
}

void LineSplitter::give_back() {
  const std::size_t kept = end_ - begin_;
  if (buffer_.size() <= kLargeBufferBytes || kept > kFirstBufferBytes) return;
  std::vector<char> smaller(2 * kFirstBufferBytes + kLinePadding);
  std::copy_n(buffer_.data() + begin_, kept, smaller.data());
  buffer_ = std::move(smaller);
  scanned_ -= begin_;
  begin_ = 0;
  end_ = kept;
}

SeekPoint LineSplitter::seek_point() const {
  return stream_->is_plain() ? SeekPoint{byte_, byte_, byte_, number_, record_} : point_;
}

double LineSplitter::share_read() const {
  const double handed_out = content_ == 0 ? 1 : static_cast<double>(byte_) / static_cast<double>(content_);
  return stream_->share_read() * handed_out;
}

bool LineSplitter::find_end_of_line() {
  const char* from = buffer_.data() + scanned_;
  const void* found = std::memchr(from, '\n', end_ - scanned_);
  scanned_ = found == nullptr ? end_ : scanned_ + static_cast<std::size_t>(static_cast<const char*>(found) - from);
  return found != nullptr;
}

/// The frames that begin at or before the line being looked for: from the last of them it can be read again.
void LineSplitter::pass_frames() {
  for (; !frames_.empty() && frames_.front().content <= byte_; frames_.pop_front())
    point_ = {frames_.front().offset, frames_.front().content, byte_, number_, record_, frames_.front().lost};
}

/// Hands out the next `length` bytes as a line and moves the counters behind them; its ending is the caller's.
void LineSplitter::take(std::size_t length, Line& line) {
  line.number = number_;
  line.byte = byte_;
  line.length = dropped_ + length;
  line.bytes = std::string_view(buffer_.data() + begin_, length);
  byte_ += line.length;
  if (line.byte == 0 && line.bytes.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    line.bytes.remove_prefix(kByteOrderMark.size());
  }
  if (!line.bytes.empty() && line.bytes.back() == '\r') line.bytes.remove_suffix(1);
  line.too_long = dropped_ > 0 || line.bytes.size() > max_line_bytes_;
  if (line.too_long) line.bytes = {};
  dropped_ = 0;
}

/// Reads more bytes behind end_. The begun line moves to the buffer's front, or is dropped if it is too long already.
void LineSplitter::fetch() {
  // A byte order mark and a carriage return do not count.
  if (end_ - begin_ > kByteOrderMark.size() + max_line_bytes_ + 1) {
    dropped_ += end_ - begin_;
    begin_ = end_;
  }
  const std::size_t begun = end_ - begin_;
  if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, begun);
  begin_ = 0;
  end_ = scanned_ = begun;
  if (buffer_.size() - kLinePadding - end_ < kLeastFetch) {
    const std::size_t most = static_cast<std::size_t>(max_line_bytes_) + 1 + kLeastFetch + kLinePadding;
    const std::size_t more = buffer_.size() < kLargeBufferBytes ? buffer_.size() * 2 : buffer_.size() / 2 * 3;
    buffer_.resize(std::max(std::min(more, most), end_ + kLeastFetch + kLinePadding));
  }
  ByteStream::Piece piece = stream_->read(buffer_.data() + end_, buffer_.size() - kLinePadding - end_);
  if (piece.frame) frames_.push_back({*piece.frame, content_, piece.lost});
  content_ += piece.bytes;
  end_ += piece.bytes;
  if (skip_ > 0) {
    const std::uint64_t skipped = std::min<std::uint64_t>(skip_, piece.bytes);
    skip_ -= skipped;
    begin_ = scanned_ = static_cast<std::size_t>(skipped);
  }
  pending_fault_ = piece.fault.has_value();
  if (pending_fault_) fault_ = std::move(*piece.fault);
  at_end_ = piece.bytes == 0 && !pending_fault_;
}

LineSplitter::Step LineSplitter::stop_at_fault(Line& line) {
  pending_fault_ = false;
  const std::uint64_t begun = dropped_ + (end_ - begin_);
  if (begun > 0) fault_.reason += fmt::format("; {} bytes of the line that it cuts are left out", begun);
  line = Line{{}, record_, number_, byte_, begun, false};
  byte_ += begun;
  number_ += begun > 0 ? 1 : 0;
  dropped_ = 0;
  begin_ = scanned_ = end_;
  return Step::fault;
}

}  // namespace millrace
