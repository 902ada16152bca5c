#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/data_manifest.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// How many raw tokens a corpus holds for an epoch of training: held-out and filtered documents do not count, nor what
/// max_document_tokens leaves out.
struct AvailableTokens {
  double tokens = 0;
  double error = 0;          ///< Half the 95 % confidence interval, as a part of `tokens`; 0: counted, not estimated.
  double document_size = 0;  ///< Mean raw tokens of a document; 0 if there is none.
  std::vector<std::string> layouts;  ///< Names of the layouts met, in order of first mention.
  bool from_manifest = false;
};

/// Why no manifest can count the corpus; nullptr: one can.
const char* why_not_countable(const StreamConfig& config, const RunCorpus& corpus);

/// The same, by shard, where the manifest counts them; see available_tokens.
std::optional<std::vector<double>> counted_shard_tokens(const StreamConfig& config, const RunCorpus& corpus,
                                                        const Vocabulary& vocabulary, const DataManifest& manifest);

/// Counts them by the manifest, or estimates them from a sample. Counting needs, of every shard, a current entry with
/// tokens counted with this vocabulary, read with the corpus's layout, the run's holdout, and a countable corpus. A
/// sample is the first 16 MiB of text of about eight shards, evenly spread, of which about 1 MiB is encoded, projected
/// by bytes over the shards of the same extension; where all was encoded, it is a count. Corpora in parallel; blocks on
/// disk reads. Throws what opening a shard throws.
std::vector<AvailableTokens> available_tokens(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                              const Vocabulary& vocabulary, const DataManifest* manifest);

}  // namespace millrace
