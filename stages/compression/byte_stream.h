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
  /// The bytes before and after the fault are not neighbours: a line that was begun is not whole.
  bool cuts_line = true;
  std::uint64_t lost_content = 0;  ///< Bytes of the content that are not handed out: see FrameTally.
};

/// The bytes of a shard after decompression. One object, one thread. Blocks on disk reads.
class ByteStream {
 public:
  struct Piece {
    std::size_t bytes = 0;  ///< 0 without a fault: the shard's end.
    /// Stands behind the bytes. Reading may go on: what follows is still readable.
    std::optional<ContainerFault> fault = {};
    /// Where in the file the frame stands that the bytes are the beginning of; not set in the midst of a frame.
    std::optional<std::uint64_t> frame = {};
    std::uint64_t lost = 0;  ///< With `frame`: SeekPoint::lost there.
  };
  virtual ~ByteStream() = default;
  /// Fills `into` with up to `capacity` bytes, which never go beyond one frame. Throws std::system_error if the file
  /// cannot be read.
  virtual Piece read(char* into, std::size_t capacity) = 0;
  /// What part of the file stands before what read() gives next, 0 to 1.
  virtual double share_read() const = 0;
  /// True if every byte can be read without those before it, and stands in the file where it stands in the content.
  virtual bool is_plain() const { return false; }
};

}  // namespace millrace
