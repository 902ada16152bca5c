#include "stages/compression/frame_tally.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace {
namespace {

__extension__ using Wide = unsigned __int128;

/// Largest expansion of a zstd or deflate block: a header that claims more is wrong.
constexpr Wide kMostRatio = 1 << 15;

std::uint64_t narrow(Wide value) {
  return static_cast<std::uint64_t>(std::min<Wide>(value, std::numeric_limits<std::uint64_t>::max()));
}

/// length * content / bytes, rounded down.
std::uint64_t scaled(std::uint64_t length, std::uint64_t content, std::uint64_t bytes) {
  return narrow(Wide{length} * content / bytes);
}

}  // namespace

void FrameTally::begin_frame(std::uint64_t offset, std::optional<std::uint64_t> size) {
  content_ += std::exchange(handed_out_, 0);
  lost_ += std::exchange(lost_of_frame_, 0);
  begin_ = offset;
  size_ = size;
}

std::uint64_t FrameTally::lose_rest(std::uint64_t failed_at, std::optional<std::uint64_t> end) {
  const std::uint64_t length = end.value_or(failed_at) - begin_;
  std::uint64_t whole = length * kUnknownRatio;
  if (size_) {
    whole = end ? narrow(std::min<Wide>(*size_, length * kMostRatio)) : *size_;
  } else if (content_ > 0 && begin_ > lost_) {
    whole = scaled(length, content_, begin_ - lost_);
  } else if (handed_out_ > 0) {
    whole = scaled(length, handed_out_, std::max<std::uint64_t>(failed_at - begin_, 1));
  }
  const std::uint64_t lost = whole - std::min(whole, handed_out_);
  // The frame's bytes that produced no content; all of them, if none did.
  lost_of_frame_ = handed_out_ == 0 ? length : scaled(length, lost, std::max(whole, handed_out_));
  return lost;
}

}  // namespace millrace
