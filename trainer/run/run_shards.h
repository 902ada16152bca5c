#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

/// A run's shards, found and held against those it was begun with.
struct RunShards {
  std::vector<RunCorpus> corpora;  ///< In the order rows number them.
  std::string record;              ///< What the run folder is to remember of them: RunFolder::Options::shards.
  /// Per corpus: how many shards, how the first one's records are read, and what was passed over among them.
  std::vector<std::string> descriptions;
  std::set<std::string> same_shards;  ///< Names of the corpora that have the shards that the run was begun with.
  bool taken_on_trust = false;        ///< The run goes on, but was begun by a program that remembered no shards.
};

/// Looks up every shard before anything is written. Throws ConfigError if a pattern matches nothing, a shard cannot be
/// read, or (`resume`) shards of a corpus that the run had are changed, missing or extra: the message names them; or if
/// a corpus's filter is none for its first shard.
RunShards find_run_shards(const StreamConfig& stream, const std::filesystem::path& run_dir, bool resume);

}  // namespace millrace
