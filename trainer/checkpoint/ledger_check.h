#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/checkpoint/train_state.h"

namespace millrace {

/// What the steps were made of, counted by the trainer and not by the ledger.
struct TrainedTotals {
  std::uint64_t positions = 0;    ///< Rows times T.
  std::uint64_t loss_tokens = 0;  ///< Loss weights that the model summed.
};

/// Throws std::logic_error naming both figures unless the ledger's sums are the positions and loss weights that were
/// seen, and the rows, examples and raw tokens of each corpus that the position says. `corpora` names the ledger's.
void check_ledger(const TrainState& state, const TrainedTotals& seen, const std::vector<std::string>& corpora);

/// Throws ConfigError beginning with `where` if a saved state tells of phases, corpora or denoisers that the run has
/// not, or its ledger and its position of different figures: `denoisers` names those of each phase.
void expect_sound(const TrainState& state, const std::vector<std::string>& corpora,
                  const std::vector<std::vector<std::string>>& denoisers, const std::string& where);

}  // namespace millrace
