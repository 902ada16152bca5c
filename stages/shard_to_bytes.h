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
Container container_of(InputFile& file);

/// A part of a container that could not be read.
struct ContainerFault {
  RejectCause cause = RejectCause::truncated;
  std::string reason;
  std::uint64_t lost_bytes = 0;  ///< Bytes of the file, not of its content.
  /// The bytes before and after the fault are not neighbours: a line that was begun is not whole.
  bool cuts_line = true;
};

/// The bytes of a shard after decompression. One object, one thread. Blocks on disk reads.
class ByteStream {
 public:
  struct Piece {
    std::size_t bytes = 0;  ///< 0 without a fault: the shard's end.
    std::optional<ContainerFault>
        fault;  ///< Stands behind the bytes. Reading may go on: what follows is still readable.
  };
  virtual ~ByteStream() = default;
  /// Fills `into` with up to `capacity` bytes. Throws std::system_error if the file cannot be read.
  virtual Piece read(char* into, std::size_t capacity) = 0;
};

/// zstd: any number of frames, cut anywhere, with or without content size, windows up to 2^31, skippable and empty
/// ones too; a damaged frame costs only itself where its block headers still lead to the next one.
/// gzip: any number of members. plain: the file. REQUIRES: `container` is not parquet.
std::unique_ptr<ByteStream> open_bytes(std::unique_ptr<InputFile> file, Container container);

}  // namespace millrace
