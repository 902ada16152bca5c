#pragma once

#include <cstdint>
#include <string>

namespace millrace {

/// How a shard is packed, as far as its size, its first 256 KiB and what it says of its content's size tell. Depends on
/// the file's bytes only.
struct ShardShape {
  std::uint64_t file_bytes = 0;
  /// `packed` bytes of the file hold `content` bytes after decompression; 1 and 1 in a plain file. Never 0.
  std::uint64_t packed = 1;
  std::uint64_t content = 1;
  std::uint64_t window = 0;  ///< Bytes of content that a decompressor keeps; 0 in a plain file.
  /// Bytes of content that can only be read together: those of the first frame or member; of the whole file if that
  /// does not end in the file's beginning; 0 where any record can be read by itself.
  std::uint64_t frame = 0;

  /// Bytes of the file that hold `bytes` of content, by that ratio.
  std::uint64_t packed_bytes(std::uint64_t bytes) const;
  /// Bytes of content in the whole file, by that ratio.
  std::uint64_t content_bytes() const;
};

/// A file that cannot be read or decompressed has kUnknownRatio, and so has a Parquet file, whose readers go by rows.
/// Never throws for bad data.
ShardShape shape_of(const std::string& path);

}  // namespace millrace
