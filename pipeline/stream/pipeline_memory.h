#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/stream/data_pipeline.h"

namespace millrace {

/// Bytes of text, ids and rows that a DataPipeline of these corpora holds where all that bounds it is full: the shards
/// that are open at once, each corpus's windows and its documents on their way, the threads' caches of the words that
/// running text of so many tokens holds, the batches held ready, the one being made and the one being trained on.
/// Documents are taken to be of a common size.
std::uint64_t pipeline_bytes(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                             const DataPipeline::Options& options);

}  // namespace millrace
