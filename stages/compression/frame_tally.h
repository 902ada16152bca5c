#pragma once

#include <cstdint>
#include <optional>

#include "stages/records.h"

namespace millrace {

/// Bytes of content that a byte of a compressed file stands for before anything of the file was read.
inline constexpr std::uint64_t kUnknownRatio = 3;

/// Counts what the frames (or members) of a compressed file hold, and says what one that cannot be read stands for: the
/// content size that its header names, else its length in the file times the ratio of the frames before it. Depends on
/// the file's bytes only, not on where reading began. One object, one thread.
class FrameTally {
 public:
  /// Reading begins at a frame's first byte.
  explicit FrameTally(const SeekPoint& from) : begin_(from.offset), content_(from.content), lost_(from.lost) {}

  /// A frame begins at `offset` in the file. `size`: of its content, if its header says it.
  void begin_frame(std::uint64_t offset, std::optional<std::uint64_t> size = {});
  /// So many bytes of the frame's content were handed out.
  void add(std::uint64_t bytes) { handed_out_ += bytes; }
  /// The frame can be read no further than `failed_at` in the file, and ends at `end`: nothing if the file ends before
  /// it does. Returns the bytes of content that are lost with it. Call once a frame.
  std::uint64_t lose_rest(std::uint64_t failed_at, std::optional<std::uint64_t> end);
  /// SeekPoint::lost of the present frame.
  std::uint64_t lost() const { return lost_; }

 private:
  std::uint64_t begin_;
  std::uint64_t content_;  // Of the frames before.
  std::uint64_t lost_;
  std::uint64_t handed_out_ = 0;
  std::optional<std::uint64_t> size_;
  std::uint64_t lost_of_frame_ = 0;
};

}  // namespace millrace
