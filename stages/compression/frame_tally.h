#pragma once

#include <cstdint>
#include <optional>

#include "stages/records.h"

namespace millrace {

/// Assumed content bytes per compressed byte, until some of the file has been read.
inline constexpr std::uint64_t kUnknownRatio = 3;

/// Counts the content of the frames (or members) of a compressed file, and estimates how much content an unreadable one
/// holds: the size in its header, else its length in the file times the compression ratio of the frames before it.
/// Depends on the file's bytes only, not on where reading began. One object, one thread.
class FrameTally {
 public:
  /// Reading begins at a frame's first byte.
  explicit FrameTally(const SeekPoint& from) : begin_(from.offset), content_(from.content), lost_(from.lost) {}

  /// A frame begins at `offset` in the file. `size`: the content size, if the header has it.
  void begin_frame(std::uint64_t offset, std::optional<std::uint64_t> size = {});
  /// `bytes` of the frame's content were returned.
  void add(std::uint64_t bytes) { handed_out_ += bytes; }
  /// The frame cannot be read beyond `failed_at` in the file; it ends at `end` (empty: the file ends first). Returns
  /// the content bytes lost. Call at most once per frame.
  std::uint64_t lose_rest(std::uint64_t failed_at, std::optional<std::uint64_t> end);
  /// SeekPoint::lost of the current frame.
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
