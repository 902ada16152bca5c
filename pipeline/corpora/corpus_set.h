#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "stages/record_layout.h"

namespace millrace {

/// A corpus of a run, in whichever phases it is used.
struct RunCorpus {
  Corpus corpus;                    ///< As first mentioned; its share may differ per phase.
  std::uint64_t id = 0;             ///< xxh3_64 of the name: the key of its random draws.
  std::vector<std::string> shards;  ///< Natural order, relative to the data directory.
  /// Other files found there, one line per folder; see list_shards and passed_over.
  std::vector<std::string> passed_over;
};

/// The corpora of all phases, in the order of first mention; with FindShards::yes their shards too. Call once per job
/// and pass the result on: listing is slow on remote folders, and may find other files the next time. Throws
/// ConfigError if two phases disagree about a corpus's shards, layout, filters or epochs, a pattern matches nothing, or
/// what it matches is a foreign container that allow_unreadable does not name.
enum class FindShards : std::uint8_t { no, yes };
std::vector<RunCorpus> corpora_of(const StreamConfig& config, FindShards find);

std::vector<std::string> names_of(const std::vector<RunCorpus>& corpora);

/// What was passed over: one line per corpus and folder.
std::vector<std::string> passed_over(const std::vector<RunCorpus>& corpora);

/// Index of each corpus of a phase's mix in corpora_of().
std::vector<std::size_t> indices_in(const std::vector<RunCorpus>& corpora, const Mix& mix);

/// Where a shard lies on disk, and how its records are read.
std::string shard_path(const StreamConfig& config, const std::string& shard);
ReadOptions reader_options(const StreamConfig& config, const Corpus& corpus, const std::string& path);

/// Whether `[data] allow_unreadable` names a shard; `shard` as in RunCorpus::shards.
bool may_be_unreadable(const StreamConfig& config, const std::string& shard);

}  // namespace millrace
