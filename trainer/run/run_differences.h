#pragma once

#include <set>
#include <string>

#include "trainer/config/run_config.h"
#include "trainer/run/run_folder.h"

namespace millrace {

/// What of a run was changed since, by dotted key: "train.learning_rate 0.001 -> 0.002", and of phases' mixes and
/// objectives "phase.1.mix.corpus.prose.share 70 -> 60". Free is what makes neither rows nor losses others: where the
/// data and the vocabulary lie (both are known by their content), names of run, mixes and objectives, what is done
/// about bad data, when it is evaluated, saved and logged, and what only costs time or memory; and how shards are named
/// of the corpora of `same_shards`, which have the same ones.
RunFolder::Changes run_differences(const RunConfig& then, const RunConfig& now,
                                   const std::set<std::string>& same_shards);

}  // namespace millrace
