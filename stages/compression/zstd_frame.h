#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

/// Settings of a frame.
struct ZstdFrame {
  int level = 3;
  bool checksum = false;  ///< Whether it ends with xxh64 of its content.
};

/// `bytes` as one zstd frame that names its content's size. The same bytes for the same library and settings.
std::string zstd_compressed(std::string_view bytes, const ZstdFrame& frame = {});

/// The content of one frame that zstd_compressed made. Throws DataError if it is not a frame, is damaged, or does not
/// hold exactly `size` bytes. Never allocates more than `size`.
std::string zstd_decompressed(std::string_view frame, std::size_t size);

}  // namespace millrace
