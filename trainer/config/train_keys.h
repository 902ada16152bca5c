#pragma once

#include <vector>

#include "pipeline/keys/key_table.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The keys of [train], [eval], [checkpoint] and [log], in this order: every member of TrainConfig.
const std::vector<KeyTable<TrainConfig>>& train_keys();

/// Reads the four tables of a run file. Refuses unknown keys, keys that have no effect given the others, and values
/// that contradict each other. micro_rows defaults to batch_rows; precision "auto" becomes what the processor supports.
TrainConfig read_training(const ConfigTable& run);

}  // namespace millrace
