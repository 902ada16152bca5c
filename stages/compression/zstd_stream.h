#pragma once

#include <memory>

#include "stages/compression/byte_stream.h"
#include "stages/io/input_file.h"

namespace millrace {

/// True for the four bytes that begin a zstd frame, skippable ones included.
bool is_zstd_magic(const char* bytes);

/// See open_bytes.
std::unique_ptr<ByteStream> open_zstd_stream(std::unique_ptr<InputFile> file, const SeekPoint& from);

}  // namespace millrace
