#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/checkpoint/train_state.h"

namespace millrace {

/// What was trained on, counted by the trainer independently of the ledger.
struct TrainedTotals {
  std::uint64_t positions = 0;    ///< Rows times T.
  std::uint64_t loss_tokens = 0;  ///< Sum of the loss weights that the model saw.
};

/// Throws std::logic_error naming both figures unless the ledger's sums equal the positions and loss weights in `seen`,
/// and the position's counts of rows, and of examples and raw tokens per corpus. `corpora`: names, as the ledger
/// numbers them.
void check_ledger(const TrainState& state, const TrainedTotals& seen, const std::vector<std::string>& corpora);

/// Throws ConfigError beginning with `where` if a saved state refers to phases, corpora or denoisers that the run does
/// not have, or if its ledger and its position disagree. `denoisers`: names, by phase.
void expect_sound(const TrainState& state, const std::vector<std::string>& corpora,
                  const std::vector<std::vector<std::string>>& denoisers, const std::string& where);

}  // namespace millrace
