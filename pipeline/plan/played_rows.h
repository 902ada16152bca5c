#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/mixer.h"

namespace millrace {

/// What is assumed of a corpus's text.
struct PlayedCorpus {
  bool open = true;
  double document_size = 0;  ///< Mean raw tokens; 0: unknown; long documents are assumed.
};

/// What rows were made of.
struct PlayedRows {
  std::uint64_t rows = 0;  ///< Fewer than asked for where every corpus is closed.
  std::uint64_t examples = 0;
  std::vector<std::uint64_t> raw_tokens;  ///< By corpus, as given.

  std::uint64_t all_raw_tokens() const;
};

/// Simulates the first `rows` rows of a phase with the mixer itself, on synthetic documents of each corpus's mean size:
/// same order of corpora and denoisers, draws and packing as the stream. `first_example` is the number of the phase's
/// first example in the stream. Reads nothing.
PlayedRows play_rows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const PreparedPhase& plan,
                     std::size_t phase, const std::vector<PlayedCorpus>& played, std::uint64_t first_example,
                     std::uint64_t rows);

}  // namespace millrace
