#include "trainer/loop/restored_check.h"

#include <cstdint>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "stages/errors.h"

namespace millrace {

void check_restored(const Restored& restored, const TrainState& state, const TrainSetup& setup) {
  const auto& [newest, saved] = restored;
  if (saved.stream_version != setup.identity.stream_version) {
    throw ConfigError(fmt::format(
        "{0}: made with version {1} of the stream, this program makes version {2}: the rows "
        "would differ. To go on with its weights, optimizer and step in a new stream: train --from {0} with "
        "another --run-dir",
        newest.string(), saved.stream_version, setup.identity.stream_version));
  }
  const std::uint64_t rows = state.own_steps() * static_cast<std::uint64_t>(setup.train.batch_rows);
  if (rows != state.ledger.rows()) {
    throw ConfigError(
        fmt::format("{}: {} steps were done with {} rows, but train.batch_rows is {} now; the rows per step of a run "
                    "cannot change",
                    newest.string(), state.own_steps(), state.ledger.rows(), setup.train.batch_rows));
  }
  if (saved.processor != setup.identity.processor) {
    spdlog::warn("resuming on another processor ({}, before: {}): losses may differ in the last digits",
                 setup.identity.processor, saved.processor);
  }
  if (saved.arithmetic_version != setup.identity.arithmetic_version) {
    spdlog::warn(
        "resuming with version {} of the arithmetic (before: {}): losses differ in the last digits from those of a run "
        "that was not stopped",
        setup.identity.arithmetic_version, saved.arithmetic_version);
  }
}

}  // namespace millrace
