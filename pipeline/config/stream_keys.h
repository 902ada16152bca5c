#pragma once

#include "pipeline/config/stream_config.h"
#include "pipeline/keys/key_table.h"

namespace millrace {

/// A run file's top-level keys. "vocab" and "phase" are read and written by whoever reads the whole file.
const KeyTable<StreamConfig>& run_keys();

/// [[phase]]. Its mix and objective are files that are read by whoever reads the run file, its [phase.model] and
/// [phase.train] by whoever knows [model] and [train].
const KeyTable<Phase>& phase_keys();

/// [data]
const KeyTable<StreamConfig>& data_keys();

}  // namespace millrace
