#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace millrace {

/// Writes checkpoints on a thread of its own while training goes on: one at a time, from a copy. The caller waits only
/// for the copy, and for an earlier save that is still being written. The copy's memory is reused.
/// All functions belong to one thread, the trainer's.
class CheckpointWriter {
 public:
  /// How a save ended.
  struct Outcome {
    std::uint64_t step = 0;
    std::filesystem::path folder;
    double seconds = 0;   ///< Of writing.
    std::string error;    ///< Why there is no new checkpoint; empty: it is there.
    std::string warning;  ///< What else went wrong: older checkpoints that could not be removed.
  };

  /// `texts` go along with each.
  CheckpointWriter(std::filesystem::path parent, KeepRule keep, CheckpointTexts texts = {});
  ~CheckpointWriter();  ///< Waits, and logs a failed save whose outcome was not taken.
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Copies and starts writing. `before` is called first, on the writing thread; if it throws, nothing is saved.
  /// REQUIRES: the outcome of the previous save was taken.
  void begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before);
  /// The outcome of the save, returned once. poll() is empty while it is being written; wait() waits.
  std::optional<Outcome> poll();
  std::optional<Outcome> wait();

 private:
  Outcome write(const std::function<void()>& before) const;

  std::filesystem::path parent_;
  KeepRule keep_;
  CheckpointTexts texts_;
  CheckpointCopy copy_;
  std::future<Outcome> writing_;
};

}  // namespace millrace
