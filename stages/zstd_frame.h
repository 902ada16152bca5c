#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

/// `bytes` as one zstd frame that names its content's size. The same bytes for the same library and level.
std::string zstd_compressed(std::string_view bytes, int level = 3);

/// The content of one frame that zstd_compressed made. Throws DataError if it is none, is damaged, or does not hold
/// exactly `size` bytes: no more than that is ever allocated.
std::string zstd_decompressed(std::string_view frame, std::size_t size);

}  // namespace millrace
