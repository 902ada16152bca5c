#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

/// A run's shards, found and compared with those it was begun with.
struct RunShards {
  std::vector<RunCorpus> corpora;  ///< In the order rows number them.
  std::string record;              ///< Their fingerprints, for RunFolder::Options::shards.
  /// Per corpus: how many shards, how the first one's records are read, and which files were passed over.
  std::vector<std::string> descriptions;
  std::set<std::string> same_shards;  ///< Names of the corpora whose shards are unchanged since the run was begun.
  bool taken_on_trust = false;        ///< Resuming a run begun by a program that stored no fingerprints.
};

/// Checks every shard before anything is written. Throws ConfigError if a pattern matches nothing, a shard cannot be
/// read, or (`resume`) shards of a corpus that the run had are changed, missing or extra: the message names them; or if
/// a corpus's filter does not fit its first shard.
RunShards find_run_shards(const StreamConfig& stream, const std::filesystem::path& run_dir, bool resume);

}  // namespace millrace
