#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/metrics/run_log.h"

namespace millrace {

/// When a run's state is saved, and what becomes of it: a save that is due is begun where the trainer stands between
/// two steps, written while it goes on (see CheckpointWriter), told in the log, and tried again if it failed. Only the
/// last one must succeed. One thread, the trainer's.
class StateSaver {
 public:
  struct Options {
    std::filesystem::path checkpoints;
    KeepRule keep;
    RunIdentity identity;
    double again_after = 30;  ///< Seconds; see TrainSetup::save_again_after.
  };

  /// `parts` are what is saved; their state gets the time that saving takes, and the saves that failed. `check` is
  /// called before each save: nothing is saved if it throws.
  StateSaver(Options options, TrainedParts parts, std::function<void()> check);

  /// The state as it is now is that of a checkpoint.
  void is_saved() { saved_at_ = parts_.state.step; }
  /// Begins to save: `log` is on the disk before a checkpoint is, and must stay until close(). Waits for earlier saves.
  void open(RunLog& log);
  /// Waits for a save that is being written, and gives up the log.
  void close() { writer_.reset(); }

  void due_now() { save_from_ = Clock::now(); }
  /// Begins a save if one is due, but in a row of skipped steps, where a good checkpoint would have to go for it.
  void save_if_due();
  /// Tells how a save ended, if one did; wait() waits for it.
  void poll();
  void wait();
  /// Saves the last step unless there is none, or it is saved. Throws std::runtime_error if that fails.
  void save_last();
  bool has_saved_the_last() const { return parts_.state.step == 0 || saved_at_ == parts_.state.step; }
  std::string newest_checkpoint() const;  ///< In words.

 private:
  using Clock = std::chrono::steady_clock;
  void begin_save();
  void take_note(const CheckpointWriter::Outcome& outcome);

  Options options_;
  TrainedParts parts_;
  std::function<void()> check_;
  RunLog* log_ = nullptr;
  std::unique_ptr<CheckpointWriter> writer_;
  std::optional<std::uint64_t> saved_at_;
  std::optional<Clock::time_point> save_from_;  ///< A checkpoint is due from then on.
  double save_pause_ = 0;                       ///< Seconds that training stood still for the save begun last.
};

}  // namespace millrace
