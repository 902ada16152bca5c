#pragma once

#include <memory>

#include "stages/compression/byte_stream.h"
#include "stages/io/input_file.h"

namespace millrace {

/// See open_bytes. Zero bytes after the last member are padding, as in gzip.
std::unique_ptr<ByteStream> open_gzip_stream(std::unique_ptr<InputFile> file, const SeekPoint& from);

}  // namespace millrace
