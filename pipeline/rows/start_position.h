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

/// What two phases say otherwise of their mixes and objectives, by dotted key: "phase.1.mix.corpus.prose.share".
/// `phase` counts from 0, the key from 1.
std::vector<ConfigDifference> phase_differences(const Phase& then, const Phase& now, std::size_t phase);

/// True if it makes no row another: what a mix or an objective is called, and whether a corpus counts as code.
bool is_only_a_name(const ConfigDifference& difference);

/// True if it only says otherwise which shards a corpus has that is one of `same_shards`: those have the same all the
/// same.
bool is_only_a_path(const ConfigDifference& difference, const std::set<std::string>& same_shards);

/// What of `now` would make the rows before `position` others than `then` made them, one line each ("seed 7 -> 8"): the
/// past cannot be changed. Later phases may be any; the present one may end elsewhere, but not behind the position.
/// Where the data lies, and what is done about bad data, may change at any time, and so may the way in which the shards
/// of `same_shards` are named, which are corpora that have the same ones.
std::vector<std::string> incompatible_changes(const StreamConfig& then, const StreamConfig& now,
                                              const StreamPosition& position,
                                              const std::set<std::string>& same_shards = {});

/// `position` in a run whose later phases were changed: corpora that are new begin at their beginning, those that are
/// gone (and gave nothing) are left out. Throws ConfigError naming its source if it cannot be a position of this run.
StreamPosition adapted_position(const StreamPosition& position, const StreamConfig& config,
                                const std::vector<RunCorpus>& corpora);

}  // namespace millrace
