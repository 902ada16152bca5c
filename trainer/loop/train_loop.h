#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "model/transformer/transformer.h"
#include "pipeline/rows/stream_row.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_saver.h"
#include "trainer/checkpoint/ledger_check.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/loop/state_saver.h"
#include "trainer/loop/train_setup.h"
#include "trainer/loop/trained_phases.h"
#include "trainer/metrics/run_log.h"
#include "trainer/metrics/slow_rank.h"
#include "trainer/metrics/step_metrics.h"
#include "trainer/metrics/step_statistics.h"
#include "trainer/ranked/ranked_backend.h"
#include "trainer/rows_to_batch.h"

namespace millrace {

/// What the loop reports after each step.
struct StepReport {
  std::uint64_t step = 0;
  std::uint64_t tokens = 0;  ///< Positions so far.
  double loss = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
  double data_wait_share = 0;
};

enum class TrainEnd : std::uint8_t { complete, stream_ended, interrupted, bad_steps };

/// The step loop: next batch, forward and backward per micro-batch, average, clip, update, log, evaluate, save.
///
/// Factors of losses, dropout, optimizer and schedule are those of the step's phase, which is that of the first example
/// of its first row.
///
/// A step is skipped if its loss is not finite, if the square of its gradient norm overflows f32, or if its update
/// would make a weight not finite. A skipped step counts, consumes its rows and advances the schedule, and changes
/// nothing else. Due checkpoints wait for the next update, so that none from bad steps replaces a good one.
///
/// After a stop is requested (model/stop.h) computing ends within about a second: the current step or evaluation is
/// abandoned, except for an update that has begun, and run() then saves the last whole step. An abandoned evaluation is
/// repeated when the run resumes.
///
/// Checkpoints are written in the background (see StateSaver). A failed write is logged as an error and retried; only
/// the last one must succeed.
///
/// One calling thread; the model uses OpenMP inside. Given the same rows, the same losses and weights to the last bit,
/// for any number of threads and any number of stops in between.
class TrainLoop {
 public:
  struct Hooks {
    std::function<std::optional<Batch>()> next_batch;                    ///< As DataPipeline::next().
    std::function<StreamRow()> stream_end = [] { return StreamRow(); };  ///< As DataPipeline::end().
    /// Called between steps, and when next_batch gives none: it may stop waiting for one.
    std::function<bool()> interrupted = [] { return false; };
    /// Called after the first step that has a row of a phase; 0 is the first phase.
    std::function<void(std::uint64_t step, std::size_t phase)> on_phase = [](std::uint64_t, std::size_t) {};
    std::function<void(const StepReport&)> on_step = [](const StepReport&) {};
    std::function<void(std::uint64_t step, const Evaluation&)> on_evaluation = [](std::uint64_t, const Evaluation&) {};
  };

  /// Weights are 0 until start_*(), resume() or run(), which draws them if neither brought any. Throws ConfigError
  /// if the configuration cannot be trained with.
  explicit TrainLoop(TrainSetup setup);
  ~TrainLoop();

  /// Loads the weights of a checkpoint folder; the run still starts at step 0. Throws ConfigError naming tensors that
  /// are not finite.
  void start_with_weights(const std::filesystem::path& checkpoint);
  /// Loads weights and optimizer state of a checkpoint, of any version of the stream, and goes on with its steps: the
  /// first row is that of the step after them, and the schedule ends as many steps later as the run has. Throws as
  /// start_with_weights(), or if the optimizer is another one.
  CheckpointSteps start_from(const std::filesystem::path& checkpoint);
  /// Goes on from the newest valid checkpoint, or from the beginning if there is none. Damaged ones, and those with
  /// numbers that are not finite, are named in the log and set aside. To be called before run(). Throws ConfigError if
  /// all are damaged, if their folder is gone though steps were made, or if the checkpoint's steps had another number
  /// of rows.
  void resume();

  /// Where the data must resume: the position after the last row trained on; empty at the beginning.
  const std::optional<StreamPosition>& position() const { return state_.position; }
  const TrainState& state() const { return state_; }
  TrainingBackend& backend() const { return *backend_; }
  /// The device's peak FLOP/s (model/cost/peak_flops.h), for limit_share; 0: unknown.
  void compare_with(double product_rate) { product_rate_ = product_rate; }
  /// Seconds of each part, over the steps of this session; zero if not asked for.
  const Profile& profile() const { return profile_; }
  /// Seconds of this session's steps that the slowest rank computed, and that this process waited for other ranks, by
  /// what was exchanged; nothing of one process.
  struct RankTimes {
    double compute = 0;
    std::map<std::string, double> exchanges;
  };
  const RankTimes& rank_times() const { return rank_times_; }
  std::uint64_t dropped_rows() const { return dropped_rows_; }  ///< Of a last, incomplete batch.
  /// The position at the stream's end, after the rows of a last, incomplete batch; nothing if the end was not reached.
  const std::optional<StreamPosition>& end_of_stream() const { return end_of_stream_; }
  std::string newest_checkpoint() const { return saver_.newest_checkpoint(); }  ///< In words.

  /// Draws the weights if none were loaded, cuts the logs back to where the run stands, then trains until `total_steps`
  /// are done (those of a checkpoint that the run started from count), the batches end, hooks.interrupted() is true, or
  /// a stop is requested; then the last step is evaluated (unless interrupted) and saved. Or until max_bad_steps were
  /// skipped in a row: the last one's batch is then described in bad_batch.json, and nothing is saved. Throws what
  /// next_batch throws, a DataError after the last step was saved; std::runtime_error if the last step could not be
  /// saved; std::logic_error instead of saving a ledger that does not add up.
  TrainEnd run(std::uint64_t total_steps, const Hooks& hooks);

  /// Reads the rows after the last step, too few for another one, for dropped_rows() and end_of_stream(). Does nothing
  /// if there is a whole batch more. REQUIRES: run() was complete.
  void end_stream(const Hooks& hooks);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Details : std::uint8_t { no, yes };
  void draw_weights();
  std::unique_ptr<CheckpointSaver> make_saver() const;
  TrainEnd make_steps(std::uint64_t total_steps, const Hooks& hooks, const std::function<void()>& clock);
  std::optional<Batch> next_batch(const Hooks& hooks);
  void take_end(const std::optional<Batch>& incomplete, const Hooks& hooks);
  void tell_rejects(const StreamRow& row);
  void train_step(const Batch& batch, double data_wait, Details details, const Hooks& hooks);
  StepStatistics forward_backward(const Batch& batch);
  void enter(const Batch& batch, const Losses& losses, double data_wait);
  void skip(const Batch& batch, const std::string& why, double seconds, double data_wait,
            const nlohmann::ordered_json& changed);
  void take_rank_times(StepMetrics& metrics);
  void evaluate_now(const Hooks& hooks);
  const std::optional<ObjectiveRows>& objective_rows();
  TrainedParts parts() { return {setup_.model, *backend_, unigram_, state_}; }

  TrainSetup setup_;
  std::optional<TrainedPhases> phases_;    ///< Known once the steps before the run's own are.
  std::optional<std::uint32_t> followed_;  ///< Phase whose settings the backend was given.
  std::unique_ptr<TrainingBackend> backend_;
  RankedBackend* ranked_;  ///< Null: this process trains alone.
  double product_rate_ = 0;
  bool has_weights_ = false;
  UnigramCounts unigram_;
  RowArrays rows_;  ///< The micro-batch being trained on.
  Profile profile_;
  TrainState state_;
  TrainedTotals seen_;
  std::unique_ptr<RunLog> log_;
  StateSaver saver_;                             ///< After log_ and all that it saves: its destructor uses them.
  std::optional<std::uint32_t> phase_of_rows_;   ///< The phase of objective_rows_.
  std::optional<ObjectiveRows> objective_rows_;  ///< Of one phase at a time: bounds memory.
  std::uint64_t dropped_rows_ = 0;
  std::optional<StreamPosition> end_of_stream_;
  RejectNotices notices_;
  RankTimes rank_times_;
  std::map<std::string, double> exchanged_;  ///< TrainingBackend::exchange_seconds() when the step began.
  SlowRanks slow_ranks_;
};

}  // namespace millrace
