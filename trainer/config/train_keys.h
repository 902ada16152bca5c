#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/keys/key_table.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The keys of [train], [eval], [checkpoint] and [log], in this order: every member of TrainConfig.
const std::vector<KeyTable<TrainConfig>>& train_keys();

/// What loss_rows is where a file does not name it.
enum class LossRows : std::uint8_t {
  of_step,         ///< batch_rows
  of_micro_batch,  ///< micro_rows: in the records of runs that were begun before the key was.
};

/// Reads the four tables of a run file. Refuses unknown keys, keys that have no effect given the others, and values
/// that contradict each other. micro_rows defaults to batch_rows; precision "auto" becomes what the processor supports.
TrainConfig read_training(const ConfigTable& run, LossRows of_default);

}  // namespace millrace
