#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

class JsonValue;

/// What a run records of a shard, so that it is not resumed on other data.
struct ShardFingerprint {
  std::string corpus;
  std::string shard;                ///< As in RunCorpus::shards.
  std::uint64_t bytes = 0;          ///< Of the file.
  std::uint64_t sampled_bytes = 0;  ///< How many of them are hashed.
  std::string hash;                 ///< xxh3_64 of size and sample, 16 hex digits.
  std::string xxh3;                 ///< Of the whole file, where a manifest says it; else empty.

  bool operator==(const ShardFingerprint&) const = default;
};

/// Bytes hashed per shard of a run: 1 GiB in total, at least 128 KiB each.
std::uint64_t sample_size(std::size_t shards);

/// Size and hash of a file. One no longer than `sample` is hashed whole; of a longer one the first and the last quarter
/// of the sample, and the rest in blocks of 4 KiB spaced evenly between. REQUIRES: `sample` is one that sample_size or
/// an earlier fingerprint named. Throws std::system_error with the path.
ShardFingerprint fingerprint_of(const std::filesystem::path& file, std::uint64_t sample);

/// The fingerprints of a run's shards, corpus by corpus, read in parallel. Shards that are in `recorded` are sampled as
/// they were then. Throws ConfigError naming a shard that cannot be read.
std::vector<ShardFingerprint> fingerprints_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                              const std::vector<ShardFingerprint>& recorded);

/// What differs from the record, one line per shard: changed (how), missing, extra. Corpora that are in only one of the
/// two are ignored.
std::vector<std::string> differences(const std::vector<ShardFingerprint>& recorded,
                                     const std::vector<ShardFingerprint>& now);

/// The recorded shards of the run's corpora that are gone, in the words of differences().
std::vector<std::string> vanished(const std::vector<ShardFingerprint>& recorded, const StreamConfig& config);

/// `recorded`, followed by the fingerprints of corpora that are not in it.
std::vector<ShardFingerprint> with_new_corpora(std::vector<ShardFingerprint> recorded,
                                               const std::vector<ShardFingerprint>& now);

void to_json(nlohmann::ordered_json& json, const ShardFingerprint& fingerprint);
void from_json(const JsonValue& json, ShardFingerprint& fingerprint);

/// One JSON object a line.
std::string to_jsonl(const std::vector<ShardFingerprint>& fingerprints);
/// Throws ConfigError naming `file` and the line that is none.
std::vector<ShardFingerprint> fingerprints_from_jsonl(const std::string& text, const std::string& file);

}  // namespace millrace
