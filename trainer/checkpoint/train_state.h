#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/corpora/reject_notices.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// A training loss and the step it was seen at (1 is the first).
struct StepLoss {
  std::uint64_t step = 0;
  double loss = 0;
};

/// Seconds since the run began, over all its sessions.
struct RunTimes {
  double wall = 0;
  double data_wait = 0;  ///< Blocked in DataPipeline::next().
  double evaluation = 0;
  double checkpoint = 0;  ///< Pauses for saving.
};

/// A line of metrics.jsonl that an evaluation wrote.
using EvaluationLine = std::shared_ptr<const nlohmann::ordered_json>;

/// The first and the last evaluation with an objective.
struct EvaluationLines {
  std::string objective;
  EvaluationLine first;
  EvaluationLine last;
};

/// The steps that a run goes on from: those of the checkpoint that `train --from` took. The run's first row belongs to
/// the step after them.
struct StepsBefore {
  std::uint64_t steps = 0;
  std::uint64_t updates = 0;  ///< Those that were not skipped.
};

/// The progress of a run. With the weights, the optimizer's state and the unigram counts, all that is needed to resume
/// as if there had been no stop.
struct TrainState {
  std::uint64_t step = 0;                   ///< Steps done, `before` included.
  StepsBefore before;                       ///< All else here is about the run's own steps.
  std::uint64_t skipped_steps = 0;          ///< Steps without an update, included in `step`: see TrainLoop.
  std::uint64_t bad_in_a_row = 0;           ///< Skipped steps since the last update.
  std::optional<StreamPosition> position;   ///< After the last row trained on; empty before the first.
  std::optional<std::uint32_t> step_phase;  ///< The phase whose keys the last step was made with.
  Ledger ledger;
  std::vector<std::uint64_t> longest_example;  ///< Raw tokens with separators, per phase begun.
  std::optional<StepLoss> first_loss, best_loss, last_loss;
  std::uint64_t above_first_loss = 0;         ///< Updates in a row, up to the last one, with a loss above first_loss.
  std::optional<std::uint64_t> evaluated_at;  ///< Step of the last evaluation.
  EvaluationLine first_evaluation;            ///< With causal prediction; nullptr: none.
  EvaluationLine last_evaluation;
  std::uint64_t failed_saves = 0;
  std::vector<EvaluationLines> own_evaluations;  ///< With the phases' own objectives, in the order of their first.
  RunTimes times;

  std::uint64_t own_steps() const { return step - before.steps; }  ///< As many as the rows of the run make.
  std::uint64_t updates() const { return before.updates + own_steps() - skipped_steps; }  ///< As Optimizer::steps().

  /// Records a row that was trained on.
  void add(const StreamRow& row);
  /// Records the loss of the step just done.
  void add(double loss);
  /// Records an evaluation after the step just done: with causal prediction, or with an objective of the run.
  void add_evaluation(const EvaluationLine& line);
  void add_own_evaluation(const std::string& objective, const EvaluationLine& line);
};

/// Bumped whenever the last digits of losses change for the same weights, rows and processor.
inline constexpr int kArithmeticVersion = 4;

/// What a checkpoint says about the program and the run it comes from.
struct RunIdentity {
  std::string name;
  std::string program_version;
  std::string run_hash;  ///< Of the resolved run's files.
  std::string vocabulary_hash;
  int stream_version = kStreamVersion;
  std::string processor;  ///< The instruction set: results are bit-identical only on the same one.
  int arithmetic_version = kArithmeticVersion;
};

/// The instruction set of this machine, and its processor's name: "avx512_bf16, Intel(R) Xeon(R) ...".
std::string this_processor();

/// What `train --from` needs to know of a checkpoint beside its tensors.
struct CheckpointSteps {
  std::uint64_t step = 0;
  std::uint64_t updates = 0;
  int stream_version = 0;
};

void to_json(nlohmann::ordered_json& json, const StepsBefore& before);
void from_json(const JsonValue& json, StepsBefore& before);
void to_json(nlohmann::ordered_json& json, const StepLoss& loss);
void from_json(const JsonValue& json, StepLoss& loss);
void to_json(nlohmann::ordered_json& json, const RunTimes& times);
void from_json(const JsonValue& json, RunTimes& times);
void to_json(nlohmann::ordered_json& json, const EvaluationLines& lines);
void from_json(const JsonValue& json, EvaluationLines& lines);
void to_json(nlohmann::ordered_json& json, const RunIdentity& identity);
void from_json(const JsonValue& json, RunIdentity& identity);

/// To and from the JSON of state.json: all but times and failed saves, so that two runs that trained on the same rows
/// have the same. Reading throws ConfigError if it is not valid.
nlohmann::ordered_json state_json(const TrainState& state, const RunIdentity& identity);
void parse_state_json(const JsonValue& json, TrainState& state, RunIdentity& identity);
/// To and from that of clock.json: times and failed saves.
nlohmann::ordered_json clock_json(const TrainState& state);
void parse_clock_json(const JsonValue& json, TrainState& state);
/// Reads only what is the same in every version of the stream.
CheckpointSteps parse_steps(const JsonValue& json);

}  // namespace millrace
