#include "stages/zstd_frame.h"

#include <stdexcept>

#include <fmt/format.h>
#include <zstd.h>

#include "stages/errors.h"

namespace millrace {

std::string zstd_compressed(std::string_view bytes, int level) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), level);
  if (ZSTD_isError(size) != 0) throw std::runtime_error(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  frame.resize(size);
  return frame;
}

std::string zstd_decompressed(std::string_view frame, std::size_t size) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size)
    throw DataError(fmt::format("this is no zstd frame of {} bytes", size));
  // A block of 128 KiB takes at least four bytes: no memory is asked for what the frame cannot hold.
  if (size / (std::size_t{1} << 15) > frame.size())
    throw DataError(fmt::format("a zstd frame of {} bytes that claims to hold {}", frame.size(), size));
  std::string bytes(size, '\0');
  const std::size_t got = ZSTD_decompress(bytes.data(), bytes.size(), frame.data(), frame.size());
  if (ZSTD_isError(got) != 0) throw DataError(fmt::format("damaged zstd frame: {}", ZSTD_getErrorName(got)));
  if (got != size) throw DataError(fmt::format("the zstd frame holds {} bytes, not {}", got, size));
  return bytes;
}

}  // namespace millrace
