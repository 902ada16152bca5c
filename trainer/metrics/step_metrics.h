#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "model/optimizer/optimizer.h"
#include "model/profile.h"
#include "model/transformer/transformer.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// CORPUS: DENOISER: examples, raw tokens, loss tokens; since the run began, over all phases.
using LedgerCounts = std::map<std::string, std::map<std::string, std::array<std::uint64_t, 3>>>;

/// Names of corpora as StreamRow numbers them, and of denoisers, by phase, likewise.
LedgerCounts ledger_counts(const Ledger& ledger, const std::vector<std::string>& corpora,
                           const std::vector<std::vector<std::string>>& denoisers);

/// The measurements of one training step.
struct StepMetrics {
  std::uint64_t step = 0;       ///< Steps done: 1 is the first.
  std::uint32_t phase = 0;      ///< Of the step's last example.
  std::uint64_t positions = 0;  ///< Since the run began, like the two below.
  std::uint64_t raw_tokens = 0;
  std::uint64_t loss_tokens = 0;
  Losses losses;  ///< Means over the step's micro-batches.
  std::optional<double> accuracy;
  std::map<std::string, double> ce_by_corpus, ce_by_denoiser;
  double learning_rate = 0;
  double gradient_norm = 0;
  UpdateNorms norms;
  std::uint64_t step_positions = 0;
  double seconds = 0;                 ///< Duration of the step, including the wait for its data.
  double data_wait = 0;               ///< Seconds.
  std::optional<double> limit_share;  ///< Achieved FLOP/s as a share of this machine's peak.
  std::uint64_t memory = 0;           ///< Bytes.
  std::vector<double> rank_seconds;   ///< That each rank computed; empty: there is one.
  /// Seconds that this process waited for other ranks, by what was exchanged; empty: it is alone.
  std::map<std::string, double> exchange_seconds;

  std::optional<Profile> profile;      ///< The step's seconds by part.
  std::optional<LedgerCounts> ledger;  ///< Present if details are due: the line then has the experts' details, too.

  double positions_per_second() const { return static_cast<double>(step_positions) / seconds; }
};

/// The step's line of metrics.jsonl (docs/metrics.md). Numbers are written with the fewest digits that read back as the
/// same double, so that runs can be compared bit by bit.
nlohmann::ordered_json training_line(const StepMetrics& step);

}  // namespace millrace
