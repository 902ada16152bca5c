#pragma once

#include <set>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/keys/config_difference.h"
#include "pipeline/rows/position.h"

namespace millrace {

/// The beginning of the stream.
StreamPosition start_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora);

/// Differences between the mixes and objectives of two phases, by dotted key: "phase.0.mix.corpus.prose.share". `phase`
/// counts from 0.
std::vector<ConfigDifference> phase_differences(const Phase& then, const Phase& now, std::size_t phase);

/// True if it changes no row: the name of a mix or an objective, whether a corpus counts as code, and its licence.
bool is_only_a_name(const ConfigDifference& difference);

/// True if it only changes how the shards of a corpus in `same_shards` are named: the shards themselves are the same.
bool is_only_a_path(const ConfigDifference& difference, const std::set<std::string>& same_shards);

/// Changes from `then` to `now` that would change the rows before `position`, one line each ("seed 7 -> 8"). Later
/// phases may change freely; the current one may end elsewhere, but not before the position. The data directory and the
/// handling of bad data may change at any time, and so may the patterns of the corpora in `same_shards`, if they give
/// the same shards.
std::vector<std::string> incompatible_changes(const StreamConfig& then, const StreamConfig& now,
                                              const StreamPosition& position,
                                              const std::set<std::string>& same_shards = {});

/// `position` in a run whose later phases were changed: new corpora start at their beginning, removed ones (which gave
/// nothing) are left out. Throws ConfigError naming its source if it cannot be a position of this run.
StreamPosition adapted_position(const StreamPosition& position, const StreamConfig& config,
                                const std::vector<RunCorpus>& corpora);

}  // namespace millrace
