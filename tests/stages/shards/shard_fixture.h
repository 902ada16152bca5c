#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "stages/shards/shard_to_records.h"

namespace millrace::testing {

/// A folder for one test; removed by the destructor.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path path() const { return path_; }
  /// Writes a file, with its folders, and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const;

 private:
  std::filesystem::path path_;
};

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

}  // namespace millrace::testing
