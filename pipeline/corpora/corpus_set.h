#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "stages/record_layout.h"

namespace millrace {

/// A corpus of a run, whatever phases it stands in.
struct RunCorpus {
  Corpus corpus;                    ///< As first mentioned; its share is a phase's business.
  std::uint64_t id = 0;             ///< xxh3_64 of the name: what its random draws are keyed by.
  std::vector<std::string> shards;  ///< Natural order, relative to the data directory.
  /// What lay among them and is no shard, a line a folder; see list_shards and passed_over.
  std::vector<std::string> passed_over;
};

/// The corpora of all phases, in the order of first mention; with FindShards::yes their shards too. To be asked for
/// once a job, and handed on: listing costs requests where folders are far away, and may find others the next time.
/// Throws ConfigError if two phases disagree about a corpus's shards, layout, filters or epochs, a pattern matches
/// nothing, or what it matches is a foreign container that allow_unreadable does not name.
enum class FindShards : std::uint8_t { no, yes };
std::vector<RunCorpus> corpora_of(const StreamConfig& config, FindShards find);

std::vector<std::string> names_of(const std::vector<RunCorpus>& corpora);

/// What was passed over among their shards: a line a corpus and folder.
std::vector<std::string> passed_over(const std::vector<RunCorpus>& corpora);

/// Index of each corpus of a phase's mix in corpora_of().
std::vector<std::size_t> indices_in(const std::vector<RunCorpus>& corpora, const Mix& mix);

/// Where a shard lies on disk, and how its records are read.
std::string shard_path(const StreamConfig& config, const std::string& shard);
ReadOptions reader_options(const StreamConfig& config, const Corpus& corpus, const std::string& path);

/// Whether `[data] allow_unreadable` names a shard; `shard` as in RunCorpus::shards.
bool may_be_unreadable(const StreamConfig& config, const std::string& shard);

}  // namespace millrace
