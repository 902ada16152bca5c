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
#include "trainer/distributed/communicator.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/loop/train_loop.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"
#include "trainer/plan/rank_memory.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_origin.h"
#include "trainer/run/run_shards.h"
#include "trainer/run/summary.h"

namespace millrace {

/// The ranks that train a run together, as rank 0 sees them.
struct RankedRun {
  Communicator* ranks = nullptr;  ///< Null: there are none.
  std::vector<RankFacts> facts;   ///< By rank.
};

/// A run from its file to its summary, in stages that are called once and in this order: open, begin, make ready,
/// train, summarize. The shards are listed once, when the run is opened. One thread, the model's; logs through spdlog.
class TrainingRun {
 public:
  struct Options {
    RunSource run;
    std::filesystem::path run_dir;  ///< Empty: the folder that `run` names, or runs/NAME.
    std::filesystem::path rows;     ///< Stored rows of the same run to train on; empty: make rows from its shards.
    std::filesystem::path from;     ///< Checkpoint folder that a new run begins with; empty: with weights drawn.
    bool weights_only = false;      ///< Of `from`: neither optimizer nor step.
    bool resume = false;
    bool accept_changes = false;
    bool profile = false;
    int threads = 0;  ///< For computing, and as many for reading; 0: all cores.
    std::string program_version;
    RankedRun ranks = {};   ///< None: this process trains alone.
    std::string grid = {};  ///< How they are arranged, as parse_grid() reads it.
  };
  struct Hooks {
    std::function<Vocabulary(const std::filesystem::path&)> open_vocabulary = [](const std::filesystem::path& file) {
      return Vocabulary(file);
    };
    /// Called with the memory plan of a process that trains alone and the machine's memory, before anything is
    /// allocated. May throw.
    std::function<void(const RunConfig&, const MemoryQuestion&, const MachineMemory&)> on_memory =
        [](const RunConfig&, const MemoryQuestion&, const MachineMemory&) {};
    /// Called between steps, and while there is no batch: true ends the run with a checkpoint.
    std::function<bool()> interrupted = [] { return false; };
  };
  /// How a run ended.
  struct Outcome {
    TrainEnd end = TrainEnd::complete;
    std::shared_ptr<const nlohmann::ordered_json> summary;  ///< What summary.json says.
    std::string not_kept;                                   ///< Why summary.json could not be written; empty: it was.
  };

  /// Opens and checks everything that the run needs: model, vocabulary, threads, memory, shards, stored rows. Writes
  /// nothing. Throws ConfigError if something does not fit, and what `hooks` throw.
  TrainingRun(Options options, Hooks hooks);
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;

  const RunConfig& run() const { return run_; }  ///< Its stream is trained_stream(), its vocabulary size filled in.
  const std::filesystem::path& run_dir() const { return run_dir_; }
  const RunShards& shards() const { return shards_; }
  /// This process's; of several ranks those that memory_of_ranks() tells, rank 0 first.
  std::vector<RankMemory> memory_by_rank() const;
  const MachineMemory& machine() const { return machine_; }
  const RunOrigin& origin() const { return origin_; }
  const RankedRun& ranks() const { return options_.ranks; }
  const std::optional<ProcessGrid>& grid() const { return grid_; }  ///< None where there is one rank.
  std::uint64_t total_steps() const;                                ///< Done at the end, those of the origin included.

  /// Creates the run folder, or reopens it. Throws as RunFolder does. From now on a log can be written there.
  void begin();
  const RunFolder& folder() const { return *folder_; }  ///< REQUIRES: begun.

  /// Gathers the held-out text, creates model and optimizer, restores checkpoint, weights and data position, and stores
  /// accepted changes in the folder. Throws ConfigError if a change would alter rows that were already trained on.
  void make_ready();

  /// Trains to the end; calls `told` with the progress. Throws as TrainLoop::run does.
  struct Told {
    std::function<void(std::uint64_t step, std::size_t phase)> on_phase;
    std::function<void(const StepReport&)> on_step;
    std::function<void(std::uint64_t step, const Evaluation&)> on_evaluation;
  };
  void train(const Told& told);
  const TrainLoop& loop() const { return *loop_; }  ///< REQUIRES: ready.

  /// Writes summary.json. If that fails, the outcome holds both the error and the text, so that it is not lost.
  Outcome sum_up();

 private:
  const RunConfig& begun_as();
  void arrange_ranks();
  void check_memory() const;
  std::vector<std::string> hosts() const;  ///< Of the ranks.
  std::optional<SharedWork> shared_work() const;
  std::vector<HeldOutTokens> held_out();
  TrainSetup setup();
  void load_origin();
  void refuse_changed_past();
  void refuse_an_end_that_is_behind() const;
  void open_rows();
  void keep_changes();

  const Options options_;
  const Hooks hooks_;
  RunConfig run_;
  const StreamConfig whole_stream_;  ///< Including the phases that are not trained on.
  const std::filesystem::path run_dir_;
  const std::filesystem::path vocabulary_path_;
  const Vocabulary vocabulary_;
  const MachineMemory machine_;
  RunOrigin asked_origin_;  ///< As --from says.
  RunOrigin origin_;        ///< Of the run: when it is resumed, as its folder says.
  std::optional<ProcessGrid> grid_;
  std::optional<MemoryQuestion> memory_;
  RunShards shards_;
  std::unique_ptr<StoredRows> stored_;  ///< Empty once they are the source.
  std::optional<RunFolder> folder_;
  std::optional<RunConfig> begun_as_;  ///< The run that the folder holds.
  std::vector<HeldOutTokens> held_out_;
  RunIdentity identity_;
  std::unique_ptr<BatchSource> source_;
  std::optional<TrainLoop> loop_;
  TrainEnd end_ = TrainEnd::complete;
};

}  // namespace millrace
