#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stages/content_hash.h"

namespace millrace {

class JsonValue;

/// A file's length, and the xxh3_64 of each of its blocks of kBlock bytes (the last one may be shorter): shows where a
/// file is damaged.
struct BlockChecksums {
  static constexpr std::uint64_t kBlock = 4ull << 20;
  std::uint64_t bytes = 0;
  std::vector<std::string> blocks;  ///< 16 hex digits each.

  bool operator==(const BlockChecksums&) const = default;
};

void to_json(nlohmann::ordered_json& json, const BlockChecksums& sums);  ///< {"bytes", "xxh3_64"}
void from_json(const JsonValue& json, BlockChecksums& sums);

/// Streaming block checksums. One object, one thread.
class RunningSums {
 public:
  RunningSums() = default;
  /// Continues after a file with these sums, whose bytes after its last full block are `rest`.
  RunningSums(const BlockChecksums& so_far, const std::vector<char>& rest);

  void add(const void* data, std::size_t bytes);
  BlockChecksums sums() const;  ///< Of what was added so far.

 private:
  BlockChecksums whole_;  ///< Of the blocks that are full.
  std::unique_ptr<ContentHash> open_;
  std::uint64_t open_bytes_ = 0;
};

/// How a file differs from `sums`, one line per damage naming the bytes; empty if intact. Reads every byte.
std::vector<std::string> damage_of_file(const std::filesystem::path& file, const BlockChecksums& sums);

}  // namespace millrace
