#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/export/stored_rows.h"
#include "pipeline/rows/batch_source.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/config/run_config.h"
#include "trainer/loop/train_loop.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_shards.h"

namespace millrace {

/// A run from its file to its summary, in steps that are taken once and in this order: opened, begun, made ready,
/// trained, summed up. The shards are listed once, when it is opened. One thread, which is the model's; the log goes
/// through spdlog.
class TrainingRun {
 public:
  struct Options {
    RunSource run;
    std::filesystem::path run_dir;  ///< Empty: the folder that `run` names, or runs/NAME.
    std::filesystem::path rows;     ///< Stored rows of the same run to train on; empty: rows made from its shards.
    std::filesystem::path from;     ///< Checkpoint folder whose weights a new run begins with; empty: drawn ones.
    bool resume = false;
    bool accept_changes = false;
    bool profile = false;
    int threads = 0;  ///< To compute with, and to read with; 0: all cores.
    std::string program_version;
  };
  struct Hooks {
    std::function<Vocabulary(const std::filesystem::path&)> open_vocabulary = [](const std::filesystem::path& file) {
      return Vocabulary(file);
    };
    /// What the run would take and the machine has, once it is known and before anything is made. May throw.
    std::function<void(const RunConfig&, const MemoryQuestion&, const MachineMemory&)> on_memory =
        [](const RunConfig&, const MemoryQuestion&, const MachineMemory&) {};
    /// Asked between steps, and while there is no batch: true ends the run with a checkpoint.
    std::function<bool()> interrupted = [] { return false; };
  };
  /// How a run ended.
  struct Outcome {
    TrainEnd end = TrainEnd::complete;
    std::shared_ptr<const nlohmann::ordered_json> summary;  ///< What summary.json says.
    std::string not_kept;                                   ///< Why there is no such file; empty: there is.
  };

  /// Opens and checks all that the run names: model, vocabulary, threads, memory, shards, stored rows. Writes nothing.
  /// Throws ConfigError if something does not fit, and what `hooks` throw.
  TrainingRun(Options options, Hooks hooks);
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  const RunConfig& run() const { return run_; }  ///< Its stream is trained_stream(), its vocabulary size filled in.
  const std::filesystem::path& run_dir() const { return run_dir_; }
  const RunShards& shards() const { return shards_; }
  MemoryPlan memory() const { return plan_memory(*memory_); }
  const MachineMemory& machine() const { return machine_; }
  std::uint64_t total_steps() const;

  /// Creates the run folder, or opens it again. Throws as RunFolder does. Whoever wants a log there starts it now.
  void begin();
  const RunFolder& folder() const { return *folder_; }  ///< REQUIRES: begun.

  /// Gathers the held-out text, makes model and optimizer, takes up checkpoint, weights and rows where the run stands,
  /// and makes accepted changes the folder's own. Throws ConfigError if those would change the past.
  void make_ready();

  /// Trains to the end; `told` hears of it. Throws as TrainLoop::run does.
  struct Told {
    std::function<void(std::uint64_t step, std::size_t phase)> on_phase;
    std::function<void(const StepReport&)> on_step;
    std::function<void(std::uint64_t step, const Evaluation&)> on_evaluation;
  };
  void train(const Told& told);
  const TrainLoop& loop() const { return *loop_; }  ///< REQUIRES: ready.

  /// Writes summary.json. One that cannot be written is told of in the outcome, so that its text is not lost.
  Outcome sum_up();

 private:
  const RunConfig& begun_as();
  std::vector<HeldOutTokens> held_out();
  TrainSetup setup();
  void refuse_changed_past();
  void refuse_an_end_that_is_behind() const;
  void open_rows();
  void keep_changes();

  const Options options_;
  const Hooks hooks_;
  RunConfig run_;
  const StreamConfig whole_stream_;  ///< With the phases that are not trained on.
  const std::filesystem::path run_dir_;
  const std::filesystem::path vocabulary_path_;
  const Vocabulary vocabulary_;
  const MachineMemory machine_;
  std::optional<MemoryQuestion> memory_;
  RunShards shards_;
  std::unique_ptr<StoredRows> stored_;  ///< Until they are the source.
  std::optional<RunFolder> folder_;
  std::optional<RunConfig> begun_as_;  ///< The run that the folder holds.
  std::vector<HeldOutTokens> held_out_;
  RunIdentity identity_;
  std::unique_ptr<BatchSource> source_;
  std::optional<TrainLoop> loop_;
  TrainEnd end_ = TrainEnd::complete;
};

}  // namespace millrace
