#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_saver.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/metrics/run_log.h"

namespace millrace {

/// Decides when a run's state is saved, and reports the outcome: a due save starts between two steps, is written in the
/// background (see CheckpointSaver), is logged, and is retried if it fails. Only the last save must succeed. One
/// thread, the trainer's.
class StateSaver {
 public:
  struct Options {
    std::function<std::unique_ptr<CheckpointSaver>()> saver;  ///< Makes one.
    RunIdentity identity;
    double again_after = 30;  ///< Seconds; see TrainSetup::save_again_after.
  };

  /// `parts` are saved; their state is updated with the time that saving takes and the number of failed saves. `check`
  /// is called before each save: nothing is saved if it throws.
  StateSaver(Options options, TrainedParts parts, std::function<void()> check);

  /// Notes that the current state equals that of a checkpoint.
  void is_saved() { saved_at_ = parts_.state.step; }
  /// Starts saving: `log` is flushed to disk before a checkpoint is published, and must live until close(). Waits for
  /// earlier saves.
  void open(RunLog& log);
  /// Waits for a save that is being written, and releases the log.
  void close() { writer_.reset(); }

  void due_now() { save_from_ = Clock::now(); }
  /// Starts a save if one is due, except after a skipped step: a good checkpoint would be removed for it.
  void save_if_due();
  /// Logs how a save ended, if one did; wait() waits for it.
  void poll();
  void wait();
  /// Saves the last step unless there is none or it is already saved. Throws std::runtime_error if that fails.
  void save_last();
  bool has_saved_the_last() const { return parts_.state.own_steps() == 0 || saved_at_ == parts_.state.step; }
  std::string newest_checkpoint() const;  ///< In words.

 private:
  using Clock = std::chrono::steady_clock;
  void begin_save();
  void take_note(const CheckpointSaver::Outcome& outcome);

  Options options_;
  TrainedParts parts_;
  std::function<void()> check_;
  RunLog* log_ = nullptr;
  std::unique_ptr<CheckpointSaver> writer_;
  std::optional<std::uint64_t> saved_at_;
  std::optional<Clock::time_point> save_from_;  ///< A checkpoint is due from this time on.
  double save_pause_ = 0;                       ///< Seconds that training paused for the latest save.
};

}  // namespace millrace
