#pragma once

#include "model/config/model_config.h"
#include "pipeline/keys/key_table.h"

namespace millrace {

inline constexpr const char* kDefaultPreset = "openmoe-base";

/// The keys of [model], which are those of config.json too: every field of ModelConfig. Defaults are kDefaultPreset's,
/// with vocab_size 0 for what the vocabulary needs. [model] begins with "preset", which read_model() reads.
const KeyTable<ModelConfig>& model_keys();

/// [model] of a run file: its preset's values, and those that it names. Refuses unknown keys.
ModelConfig read_model(const ConfigTable& table);

}  // namespace millrace
