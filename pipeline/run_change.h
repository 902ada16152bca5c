#pragma once

#include <string>
#include <vector>

#include "pipeline/corpus_set.h"
#include "pipeline/position.h"
#include "pipeline/stream_config.h"

namespace millrace {

/// What of `now` would make the rows before `position` others than `then` made them, one line each: the past cannot be
/// changed. Later phases may be any; the present one may end elsewhere, but not behind the position. Where the data
/// lies, and what is done about bad data, may change at any time.
std::vector<std::string> changes_of_the_past(const StreamConfig& then, const StreamConfig& now,
                                             const Position& position);

/// `position` in a run whose later phases were changed: corpora that are new begin at their beginning, those that are
/// gone (and gave nothing) are left out. Throws ConfigError if the position cannot be one of this run.
Position carried_over(const Position& position, const StreamConfig& config, const std::vector<RunCorpus>& corpora);

}  // namespace millrace
