#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "stages/shards/shard_to_records.h"
#include "tests/temporary_folder.h"

namespace millrace {

struct FrameOptions {
  bool checksum = true;
  bool content_size = true;
};
std::string zstd_frame(const std::string& content, FrameOptions options = {});
std::string skippable_frame(const std::string& content);
std::string gzip_member(const std::string& content);

/// What a shard yields from `first_record` on.
struct Reading {
  std::vector<Document> documents;
  std::vector<Reject> rejects;
  std::vector<std::uint64_t> filtered;  ///< Their record numbers.

  std::vector<std::string> texts() const;
  std::vector<std::uint64_t> records() const;  ///< Of the documents.
  std::map<std::string, int> causes() const;
};
Reading read_shard(const std::string& path, std::uint64_t first_record = 0, const ReadOptions& options = {},
                   const SeekPoint& from = {});

/// {"text": "..."} with the escapes that JSON asks for.
std::string json_line(const std::string& text);

}  // namespace millrace
