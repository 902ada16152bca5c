#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "stages/objectives/segment_to_example.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// The denoisers of every phase, made ready for the vocabulary and the row length.
struct PreparedPhase {
  std::vector<SegmentToExample> denoisers;
  std::vector<ShareUnits> denoiser_shares;
  std::vector<std::size_t> corpora;  ///< Index in the run's corpora of each corpus of the mix.
  std::vector<ShareUnits> corpus_shares;
  std::optional<TokenId> separator;
  std::uint64_t longest = 0;  ///< M: raw tokens of the longest example.
  int shortest_example = 0;   ///< Positions: a row with less room than this is full.
};
std::vector<PreparedPhase> prepare_phases(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                          const Vocabulary& vocabulary);

}  // namespace millrace
