#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "pipeline/data_pipeline.h"
#include "trainer/checkpoint.h"
#include "trainer/evaluation.h"
#include "trainer/learning_rate.h"
#include "trainer/ledger_check.h"
#include "trainer/run_log.h"
#include "trainer/train_config.h"
#include "trainer/train_state.h"

namespace millrace {

/// What a step loop needs to know of a run.
struct TrainSetup {
  ModelConfig model;
  TrainConfig train;
  std::uint64_t seed = 0;
  int sequence_length = 0;  ///< T
  TokenId pad = 0;
  std::vector<std::string> corpora;                 ///< Names, as StreamRow numbers them.
  std::vector<std::vector<std::string>> denoisers;  ///< Names, by phase, likewise.
  std::vector<HeldOutTokens> held_out;              ///< Empty: no evaluation.
  std::filesystem::path folder;                     ///< Where the logs go.
  std::filesystem::path checkpoints;
  RunIdentity identity;
  bool profile = false;  ///< Measure where the time goes: "profile" in metrics.jsonl, and TrainLoop::profile().

  /// Whole steps in `positions`.
  std::uint64_t steps_in(std::uint64_t positions) const;
};

/// What the loop tells after each step.
struct StepReport {
  std::uint64_t step = 0;
  std::uint64_t tokens = 0;  ///< Positions so far.
  double loss = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
  double data_wait_share = 0;
};

enum class TrainEnd : std::uint8_t { complete, stream_ended, interrupted };

/// The step loop: next batch, forward and backward per micro-batch, average, update, log, evaluate, save.
/// One calling thread; the model uses OpenMP inside. Given the same rows, the same losses and weights to the last bit,
/// for any number of threads and any number of stops in between.
class TrainLoop {
 public:
  struct Hooks {
    std::function<std::optional<Batch>()> next_batch;          ///< As DataPipeline::next().
    std::function<bool()> interrupted = [] { return false; };  ///< Asked between steps.
    std::function<void(const StepReport&)> on_step = [](const StepReport&) {};
    std::function<void(std::uint64_t step, const Evaluation&)> on_evaluation = [](std::uint64_t, const Evaluation&) {};
  };

  /// Draws the weights. Throws ConfigError if the configuration cannot be trained with.
  explicit TrainLoop(TrainSetup setup);
  ~TrainLoop();

  /// Takes the weights of a checkpoint folder for the drawn ones; the run still starts at step 0.
  void start_from(const std::filesystem::path& checkpoint);
  /// Goes on from the newest valid checkpoint, if there is one, and cuts the logs back to it (or to nothing). Damaged
  /// ones are named in the log and passed over. To be called before run().
  void resume();

  /// Where the data must go on: the position behind the last row trained on; empty at the beginning.
  const std::optional<Position>& position() const { return state_.position; }
  const TrainState& state() const { return state_; }
  const Parameters<float>& parameters() const { return memory_.views(); }
  /// Seconds of each part, over the steps of this session; zero if not asked for.
  const Profile& profile() const { return profile_; }
  std::uint64_t dropped_rows() const { return dropped_rows_; }  ///< Of a last, incomplete batch.

  /// Trains until `total_steps` are done, the batches end, or hooks.interrupted() is true; then the last step is
  /// evaluated (unless interrupted) and saved. Throws what next_batch throws, std::runtime_error if the loss is not
  /// finite, std::logic_error instead of saving a ledger that does not add up.
  TrainEnd run(std::uint64_t total_steps, const Hooks& hooks);

 private:
  enum class LogLedger : std::uint8_t { no, yes };
  void train_step(const Batch& batch, double data_wait, LogLedger log_ledger, const Hooks& hooks);
  Losses forward_backward(const Batch& batch);
  void evaluate_now(const Hooks& hooks);
  void save();
  TrainedParts parts() { return {setup_.model, memory_.views(), *optimizer_, unigram_, state_}; }

  TrainSetup setup_;
  LearningRate learning_rate_;
  ParameterMemory<float> memory_;
  std::unique_ptr<Optimizer> optimizer_;
  Transformer<float> model_;
  UnigramCounts unigram_;
  Profile profile_;
  TrainState state_;
  SeenByTrainer seen_;
  std::unique_ptr<RunLog> log_;
  std::optional<std::uint64_t> saved_at_;
  std::uint64_t dropped_rows_ = 0;
};

}  // namespace millrace
