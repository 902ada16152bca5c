#pragma once

#include "model/config/model_config.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/key_table.h"
#include "pipeline/keys/toml_writer.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// What a phase's own tables, [phase.model] and [phase.train], say otherwise than the run's [model] and [train].
struct PhaseSettings {
  KeyTable<ModelConfig>::Values model;
  KeyTable<TrainConfig>::Values train;

  bool operator==(const PhaseSettings&) const = default;
};

/// Reads them from one [[phase]]; `model` and `train` are the run's. Throws ConfigError for keys that cannot change by
/// phase, and as reading [model] and [train] does.
PhaseSettings read_phase_settings(const ConfigTable& phase, ModelConfig model, TrainConfig train);

/// Writes them behind the keys of a [[phase]].
void write_phase_settings(const PhaseSettings& settings, TomlWriter& run);

}  // namespace millrace
