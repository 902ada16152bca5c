#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/job.h"
#include "pipeline/plan/available_tokens.h"
#include "pipeline/plan/mix_plan.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// What is to be forecast: a run's phases, or one mix as a single phase without an objective.
struct ForecastRequest {
  StreamConfig stream;
  double horizon = 0;  ///< Positions; 0: a mix alone, of which only shares are asked.

  bool has_objectives() const { return !stream.phases.front().objective.name.empty(); }
  bool has_data() const { return !stream.data_directory.empty(); }
};

/// What a mix takes from its corpora, and what they hold.
struct MixForecast {
  std::vector<RunCorpus> corpora;
  std::vector<std::uint64_t> bytes;               ///< Of each corpus's shards; empty without data.
  std::optional<std::filesystem::path> manifest;  ///< The one that was asked, if there is one.
  PlanInputs inputs;                              ///< Known with data and a vocabulary.
  MixPlan plan;

  /// Null: not counted.
  const AvailableTokens* available(std::size_t corpus) const {
    return inputs.available.empty() ? nullptr : &inputs.available[corpus];
  }
  /// Part of all positions.
  double share(std::size_t corpus) const {
    return plan.positions > 0 ? plan.corpora[corpus].positions / plan.positions : 0;
  }
  /// How often a phase of the plan goes through a corpus, where that is known.
  std::optional<double> epochs(const PhaseTake& taken, std::size_t corpus) const;
};

/// With data its shards are looked for and, given a `vocabulary`, their tokens counted or estimated (see
/// available_tokens); without, it is arithmetic on shares. Throws ConfigError as corpora_of does, and Interrupted.
MixForecast forecast_mix(const ForecastRequest& request, const Vocabulary* vocabulary, const JobCallbacks& callbacks);

}  // namespace millrace
