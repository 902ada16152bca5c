#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/stream_config.h"
#include "stages/document_to_tokens.h"
#include "trainer/held_out_tokens.h"

namespace millrace {

/// Gathers about `tokens` held-out tokens, as many from each corpus, in shard order. Empty if nothing is held out.
std::vector<HeldOutTokens> held_out_ids(const StreamConfig& stream, const Vocabulary& vocabulary, std::uint64_t tokens,
                                        int threads);

}  // namespace millrace
