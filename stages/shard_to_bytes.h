#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stages/input_file.h"
#include "stages/records.h"

namespace millrace {

/// What a shard is, told by its first bytes and never by its name.
enum class Container : std::uint8_t { plain, zstd, gzip, parquet };
/// REQUIRES: nothing of the file is consumed. Peeks at it.
Container container_of(InputFile& file);
/// "plain", "zstd", "gzip", "parquet"
const char* name_of(Container container);

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

/// zstd: any number of frames, cut anywhere, with or without content size, windows up to 2^31, skippable and empty
/// ones too; a damaged frame costs only itself where its block headers still lead to the next one.
/// gzip: any number of members. plain: the file. Reading begins at `from`: the file's beginning, or a frame's.
/// REQUIRES: `container` is not parquet.
std::unique_ptr<ByteStream> open_bytes(std::unique_ptr<InputFile> file, Container container,
                                       const SeekPoint& from = {});

}  // namespace millrace
