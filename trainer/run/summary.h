#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/stream_row.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/loop/train_loop.h"
#include "trainer/run/run_origin.h"

namespace millrace {

/// The share of one corpus in one phase: what the mix asked for and what the rows trained on were made of.
struct ShareOutcome {
  std::string corpus;
  double asked = 0;  ///< Fraction of the phase's raw tokens.
  double realised = 0;
  std::uint64_t raw_tokens = 0;
  double off_by_tokens = 0;        ///< |raw_tokens - asked * raw tokens of the phase|
  bool within_one_example = true;  ///< off_by_tokens is at most the longest example of the phase.
};
struct PhaseShares {
  std::uint32_t phase = 0;
  std::string mix;
  std::uint64_t longest_example = 0;  ///< Raw tokens with separators.
  std::vector<ShareOutcome> corpora;  ///< In the mix's order.
};

/// One per phase that rows were trained on in. `corpora` names them as the ledger numbers them.
std::vector<PhaseShares> realised_shares(const TrainState& state, const StreamConfig& stream,
                                         const std::vector<std::string>& corpora);

/// How several ranks shared the run in this session.
struct SharedWork {
  ProcessGrid grid;
  std::vector<std::string> hosts;  ///< By rank.
  TrainLoop::RankTimes times;
};

/// What summary.json says: ledger, shares, rejects, losses, evaluations, times, memory, versions.
struct SummaryInputs {
  const TrainState& state;
  const StreamConfig& stream;
  const std::vector<std::string>& corpora;
  const RunIdentity& identity;
  RunOrigin origin = {};
  TrainEnd end = TrainEnd::complete;
  std::uint64_t total_steps = 0;
  std::uint64_t dropped_rows = 0;
  std::optional<StreamPosition> end_of_stream = {};  ///< As TrainLoop::end_of_stream().
  int threads = 0;
  std::optional<SharedWork> shared = {};  ///< None: one process trained.
};
nlohmann::ordered_json summary_json(const SummaryInputs& inputs);

}  // namespace millrace
