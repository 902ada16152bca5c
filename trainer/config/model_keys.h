#pragma once

#include "model/config/model_config.h"
#include "pipeline/keys/key_table.h"

namespace millrace {

inline constexpr const char* kDefaultPreset = "openmoe-base";

/// The keys of [model] and of config.json: every field of ModelConfig. Defaults are kDefaultPreset's; vocab_size 0
/// means what the vocabulary needs. [model] also has "preset", which read_model() reads.
const KeyTable<ModelConfig>& model_keys();

/// Reads [model] of a run file: the preset's values, overridden by the keys given. Refuses unknown keys.
ModelConfig read_model(const ConfigTable& table);

}  // namespace millrace
