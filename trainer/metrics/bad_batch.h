#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// What the numbers of a row's origins stand for.
struct OriginNames {
  std::vector<std::string> corpora;
  std::vector<std::vector<std::string>> shards;     ///< By corpus, as DocumentSpan numbers them.
  std::vector<std::vector<std::string>> denoisers;  ///< By phase.
};

/// What bad_batch.json says: what the batch of a step that could not be made was made of,
/// {"step", "skipped": why, "rows": [{"row", "examples": [{"example", "phase", "corpus", "denoiser", "documents":
/// [{"shard", "record", "from", "to", "epoch"}]}]}]}; from and to count the document's ids, phases begin with 0.
nlohmann::ordered_json bad_batch_json(std::uint64_t step, const std::string& why, const Batch& batch,
                                      const OriginNames& names);

}  // namespace millrace
