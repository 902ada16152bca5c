#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_identity.h"
#include "pipeline/corpora/shard_fingerprint.h"
#include "pipeline/rows/stream_row.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

class JsonValue;

/// Everything that determines what preprocess writes: outputs of the same identity have the same bytes.
struct ExportIdentity {
  std::string format;
  std::string run;  ///< Its name.
  StreamIdentity facts;
  int stream_version = kStreamVersion;
  std::string vocabulary;             ///< Its hash.
  std::string tokenizer;              ///< Its file's name.
  std::uint64_t vocabulary_size = 0;  ///< Pieces and sentinels: every id is below.
  TokenId eos = 0;
  std::optional<std::uint64_t> tokens;  ///< What --tokens asked for.
  std::uint64_t part_bytes = 0;
  std::vector<ShardFingerprint> shards;
};

void to_json(nlohmann::ordered_json& json, const ExportIdentity& identity);
void from_json(const JsonValue& json, ExportIdentity& identity);

/// What differs, a line each; empty if both are the same.
std::vector<std::string> differences_of(const ExportIdentity& there, const ExportIdentity& here);

}  // namespace millrace
