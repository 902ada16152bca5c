#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Held-out documents of one corpus, as ids.
struct HeldOut {
  std::string corpus;
  std::vector<std::vector<TokenId>> documents;  ///< In shard and record order.
  bool last_is_cut = false;                     ///< The last one was cut at the wanted number of tokens.
  std::uint64_t tokens = 0;                     ///< Sum of the documents' lengths.
  std::uint64_t text_bytes = 0;                 ///< UTF-8 bytes those tokens stand for: for bits per byte.
};

/// Reads each corpus's shards in natural order until it has `tokens_per_corpus` held-out tokens (or the shards end).
/// Blocks on disk reads.
std::vector<HeldOut> gather_held_out(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                     const Vocabulary& vocabulary, std::uint64_t tokens_per_corpus);

}  // namespace millrace
