#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace millrace {

/// Saves checkpoints while training goes on: one at a time, as things were when it began. The caller waits only for
/// copies in memory. All functions belong to one thread, the trainer's.
class CheckpointSaver {
 public:
  /// How a save ended.
  struct Outcome {
    std::uint64_t step = 0;
    std::filesystem::path folder;
    double seconds = 0;   ///< Of writing.
    std::string error;    ///< Why there is no new checkpoint; empty: it is there.
    std::string warning;  ///< What else went wrong: older checkpoints that could not be removed.
  };

  virtual ~CheckpointSaver() = default;

  /// Copies and starts writing. `before` is called first, on the writing thread; if it throws, nothing is saved.
  /// REQUIRES: the outcome of the previous save was taken. Throws std::system_error if nothing can begin.
  virtual void begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before) = 0;
  /// The outcome of the save, returned once. poll() is empty while it is being written; wait() waits.
  virtual std::optional<Outcome> poll() = 0;
  virtual std::optional<Outcome> wait() = 0;

 protected:
  using Clock = std::chrono::steady_clock;
  /// Of a save that began at `start` and ends with `publish`, which gives the new folder or throws: then older
  /// checkpoints are removed.
  static Outcome ended(std::uint64_t step, Clock::time_point start, const KeepRule& keep,
                       const std::function<std::filesystem::path()>& publish);
};

}  // namespace millrace
