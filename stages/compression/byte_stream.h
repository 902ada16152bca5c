#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "stages/records.h"

namespace millrace {

/// A part of a container that could not be read.
struct ContainerFault {
  RejectCause cause = RejectCause::truncated;
  std::string reason;
  std::uint64_t lost_bytes = 0;  ///< Bytes of the file, not of its content.
  /// Bytes are missing at the fault, so the line that was being read is incomplete.
  bool cuts_line = true;
  std::uint64_t lost_content = 0;  ///< Content bytes that are not returned: see FrameTally.
};

/// The bytes of a shard after decompression. One object, one thread. Blocks on disk reads.
class ByteStream {
 public:
  struct Piece {
    std::size_t bytes = 0;  ///< 0 without a fault: the shard's end.
    /// Met after these bytes. The caller may read on: what follows is still readable.
    std::optional<ContainerFault> fault = {};
    /// Offset in the file of the frame, if these bytes are its first ones; not set inside a frame.
    std::optional<std::uint64_t> frame = {};
    std::uint64_t lost = 0;  ///< With `frame`: SeekPoint::lost there.
  };
  virtual ~ByteStream() = default;
  /// Fills `into` with up to `capacity` bytes, never from more than one frame. Throws std::system_error if the file
  /// cannot be read.
  virtual Piece read(char* into, std::size_t capacity) = 0;
  /// Fraction of the file before the bytes that read() returns next, 0 to 1.
  virtual double share_read() const = 0;
  /// True for an uncompressed file: offsets in the content are offsets in the file, and any of them can be read
  /// directly.
  virtual bool is_plain() const { return false; }
};

}  // namespace millrace
