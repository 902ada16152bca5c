#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/sample/sample_sources.h"

namespace millrace {

/// A document of the sample: its text, and its metadata.
struct SampleDocument {
  SampleSource source;
  std::string text;
};

/// Writes RedPajama JSON lines, zstd-compressed: folder/name-00000-of-0000n.jsonl.zst, about `shard_bytes` of text
/// each, at least two shards unless there are few documents. Returns how many.
int write_redpajama(const std::filesystem::path& folder, const std::string& name,
                    const std::vector<SampleDocument>& documents, std::uint64_t shard_bytes);

/// Writes The Stack's Parquet: folder/data-00000-of-0000n.parquet, in row groups of about a hundred documents.
/// Throws ConfigError in a build without DuckDB.
int write_the_stack(const std::filesystem::path& folder, const std::vector<SampleDocument>& documents,
                    std::uint64_t shard_bytes);

}  // namespace millrace
