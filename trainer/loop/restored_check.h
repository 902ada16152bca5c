#pragma once

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/loop/train_setup.h"

namespace millrace {

/// Whether a run may go on with what was restored: warns where last digits may differ. Throws ConfigError if its rows
/// would be others.
void check_restored(const Restored& restored, const TrainState& state, const TrainSetup& setup);

}  // namespace millrace
