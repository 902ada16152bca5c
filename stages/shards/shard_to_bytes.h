#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stages/compression/byte_stream.h"
#include "stages/io/input_file.h"
#include "stages/records.h"

namespace millrace {

/// The container of a shard, detected from its first bytes, never from its name.
enum class Container : std::uint8_t { plain, zstd, gzip, parquet };
/// REQUIRES: nothing of the file is consumed. Peeks at it.
Container container_of(InputFile& file);
/// "plain", "zstd", "gzip", "parquet"
const char* name_of(Container container);

/// zstd: any number of frames, cut anywhere, with or without content size, windows up to 2^31, skippable and empty
/// ones too; a damaged frame loses only its own content if its block headers still lead to the next frame. gzip: any
/// number of members. plain: the file. Reading begins at `from`: the file's beginning, or a frame's. REQUIRES:
/// `container` is not parquet.
std::unique_ptr<ByteStream> open_bytes(std::unique_ptr<InputFile> file, Container container,
                                       const SeekPoint& from = {});

}  // namespace millrace
