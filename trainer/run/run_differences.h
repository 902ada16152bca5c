#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "trainer/config/run_config.h"
#include "trainer/run/run_folder.h"

namespace millrace {

/// What differs between two versions of a run, by dotted key: "train.learning_rate 0.001 -> 0.002", and of phases'
/// mixes and objectives "phase.0.mix.corpus.prose.share 70 -> 60". Changes that alter neither rows nor losses are
/// `free`: the locations of data and vocabulary (both are identified by content), the names of run, mixes and
/// objectives, the handling of bad data, when to evaluate, save and log, settings that only affect time or memory; and,
/// for corpora in `same_shards`, the patterns that name their shards.
RunFolder::Changes run_differences(const RunConfig& then, const RunConfig& now,
                                   const std::set<std::string>& same_shards);

/// Likewise the keys of [phase.model] and [phase.train] of the phases before one, which no step to come is made with.
std::vector<std::string> keys_of_past_phases(const RunConfig& then, const RunConfig& now, std::size_t phase);

}  // namespace millrace
