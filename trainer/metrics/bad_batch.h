#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// The names behind the numbers in a row's origins.
struct OriginNames {
  std::vector<std::string> corpora;
  std::vector<std::vector<std::string>> shards;     ///< By corpus, as DocumentSpan numbers them.
  std::vector<std::vector<std::string>> denoisers;  ///< By phase.
};

/// The text of bad_batch.json: the contents of the batch of a step that was skipped,
/// {"step", "skipped": why, "rows": [{"row", "examples": [{"example", "phase", "corpus", "denoiser", "documents":
/// [{"shard", "record", "from", "to", "epoch"}]}]}]}; from and to count the document's ids, phases begin with 0.
nlohmann::ordered_json bad_batch_json(std::uint64_t step, const std::string& why, const Batch& batch,
                                      const OriginNames& names);

}  // namespace millrace
