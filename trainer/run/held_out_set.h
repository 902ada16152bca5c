#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/evaluation/held_out_tokens.h"

namespace millrace {

/// Gathers about `tokens` held-out tokens, equally many from each corpus, in shard order. Empty if nothing is held out.
std::vector<HeldOutTokens> held_out_ids(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                        const Vocabulary& vocabulary, std::uint64_t tokens);

/// The same tokens as rows of a phase's own objective (see EvaluationRows); nothing if that is causal prediction.
std::optional<ObjectiveRows> held_out_rows(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                           std::uint32_t phase, const std::vector<HeldOutTokens>& held_out,
                                           const Vocabulary& vocabulary);

}  // namespace millrace
