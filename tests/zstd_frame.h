#pragma once

#include <string>

#include <zstd.h>

namespace millrace {

inline std::string zstd_frame_of(const std::string& content) {
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), content.data(), content.size(), 3));
  return frame;
}

/// A frame that begins as one and cannot be decoded. REQUIRES: it has more than 40 bytes.
inline std::string damaged_frame_of(const std::string& content) {
  std::string frame = zstd_frame_of(content);
  for (std::size_t i = 16; i < 40; ++i) frame[i] = '\x7F';
  return frame;
}

}  // namespace millrace
