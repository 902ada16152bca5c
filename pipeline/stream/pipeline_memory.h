#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/config/stream_config.h"
#include "pipeline/stream/data_pipeline.h"

namespace millrace {

/// Bytes of text, ids and rows that a DataPipeline of so many corpora holds where all that bounds it is full: each
/// corpus's block and documents on their way, the threads' caches of the words that running text of so many tokens
/// holds, the batches held ready, the one being made and the one being trained on. Documents are taken to be of a
/// common size.
std::uint64_t pipeline_bytes(const StreamConfig& config, std::size_t corpora, const DataPipeline::Options& options);

}  // namespace millrace
