#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/mixer.h"
#include "pipeline/plan/available_tokens.h"

namespace millrace {

/// What a run takes from one corpus up to a horizon, by simulating the mixer on synthetic documents: nothing is read.
struct CorpusPlan {
  double positions = 0;              ///< Share x positions: the paper's way of counting tokens.
  std::optional<double> raw_tokens;  ///< Consumed. Known with a vocabulary: it determines how much text a row holds.
  std::optional<double> epochs;      ///< raw_tokens / available.
  /// Positions at which max_epochs are used up, or, where there is no limit, every document was seen once.
  std::optional<double> exhausted_at;
};

/// What one phase takes.
struct PhaseTake {
  double from = 0, to = 0;        ///< Positions.
  std::vector<double> positions;  ///< Per corpus, as MixPlan::corpora.
  std::vector<std::optional<double>> raw_tokens;
};

struct MixPlan {
  double positions = 0;             ///< Up to the horizon, or to where a corpus with at_end = "stop" ends the stream.
  std::vector<CorpusPlan> corpora;  ///< As given.
  std::vector<PhaseTake> phases;    ///< Those that the horizon reaches.
};

/// What is known beside the run file. Empty: not known, and then only positions are planned.
struct PlanInputs {
  std::vector<PreparedPhase> phases = {};       ///< With the vocabulary: what a row holds.
  std::vector<AvailableTokens> available = {};  ///< With the data: per corpus.
};

/// Simulates the phases up to `horizon` positions (beyond the last phase's end, that phase goes on). Corpora that close
/// under at_end = "redistribute" leave their share to the others in proportion.
MixPlan plan_mix(const StreamConfig& config, const std::vector<RunCorpus>& corpora, double horizon,
                 const PlanInputs& inputs);

}  // namespace millrace
