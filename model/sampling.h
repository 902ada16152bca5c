#pragma once

#include <cstdint>
#include <vector>

#include "model/generator.h"

namespace millrace {

/// Draws a token from the logits of ids 0 .. allowed_ids-1. `draw` numbers the draws of one seed: the same (seed, draw)
/// and logits give the same token. Ties go to the lower id.   REQUIRES: 1 <= allowed_ids <= logits.size()
std::int32_t sample(const std::vector<float>& logits, int allowed_ids, const SamplingOptions& options,
                    std::uint64_t draw);

}  // namespace millrace
