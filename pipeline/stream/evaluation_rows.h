#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/prepared_phase.h"
#include "stages/records.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Makes rows of a phase's objective from held-out text, for evaluation. They are a function of the objective, the
/// sequence length, the vocabulary, the seed, and the corpus's name and text: the same at every evaluation of a run.
/// Immutable.
class EvaluationRows {
 public:
  /// REQUIRES: attention "packed", as every objective with inputs has. Throws ConfigError as the stream does if a
  /// denoiser fits no row.
  EvaluationRows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, std::uint32_t phase,
                 const Vocabulary& vocabulary);

  /// `ids`: documents one after the other, eos where one ends, which stays where the objective has it as separator.
  /// Examples are cut from the beginning on, denoisers by the quota rule of their shares (never at random), and fill
  /// rows as the layout says. Text at the end that is too short for the denoiser whose turn it is stands in no row.
  std::vector<Row> operator()(const std::string& corpus, std::vector<TokenId> ids) const;

 private:
  PreparedPhase plan_;
  std::uint64_t seed_;
  int row_length_;
  TokenId pad_;
  TokenId eos_;
};

}  // namespace millrace
