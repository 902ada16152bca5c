#pragma once

#include <vector>

#include "pipeline/keys/key_table.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The keys of [train], [eval], [checkpoint] and [log], in this order: every member of TrainConfig.
const std::vector<KeyTable<TrainConfig>>& train_keys();

/// The four tables of a run file. Refuses unknown keys, keys that do nothing beside the others, and values that do not
/// go together. micro_rows is as many as batch_rows unless it is named, precision "auto" what the processor has.
TrainConfig read_training(const ConfigTable& run);

}  // namespace millrace
