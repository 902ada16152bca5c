#include "stages/compression/zstd_frame.h"

#include <memory>
#include <stdexcept>

#include <fmt/format.h>
#include <zstd.h>

#include "stages/errors.h"

namespace millrace {

std::string zstd_compressed(std::string_view bytes, const ZstdFrame& frame) {
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, frame.level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, frame.checksum ? 1 : 0);
  std::string made(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress2(context.get(), made.data(), made.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size) != 0) throw std::runtime_error(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  made.resize(size);
  return made;
}

std::string zstd_decompressed(std::string_view frame, std::size_t size) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size)
    throw DataError(fmt::format("this is no zstd frame of {} bytes", size));
  // A block of 128 KiB takes at least four bytes: do not allocate for more than the frame can hold.
  if (size / (std::size_t{1} << 15) > frame.size())
    throw DataError(fmt::format("a zstd frame of {} bytes that claims to hold {}", frame.size(), size));
  std::string bytes(size, '\0');
  const std::size_t got = ZSTD_decompress(bytes.data(), bytes.size(), frame.data(), frame.size());
  if (ZSTD_isError(got) != 0) throw DataError(fmt::format("damaged zstd frame: {}", ZSTD_getErrorName(got)));
  if (got != size) throw DataError(fmt::format("the zstd frame holds {} bytes, not {}", got, size));
  return bytes;
}

}  // namespace millrace
