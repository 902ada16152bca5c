#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/run/run_origin.h"

namespace millrace {

/// Names and texts of the files that make up a run: RunConfig::resolved.
using RunFiles = std::vector<std::pair<std::string, std::string>>;

/// xxh3_64 of all names and texts, as 16 hex digits.
std::string run_hash(const RunFiles& texts);

/// A run's folder, complete in itself:
///   run.toml, mixes/, objectives/     the resolved run; run.toml is written last
///   vocab.model, run.json             the vocabulary; hashes, and what the run was begun with: run_origin.h
///   shards.jsonl                      fingerprints of the shards
///   heldout.safetensors               the evaluation's tokens
///   metrics.jsonl, rejects.jsonl, positions.jsonl, train.log
///   events.out.tfevents.*             for TensorBoard: see event_log.h
///   checkpoints/step-NNNNNN/          see checkpoint.h
///   ranks/                            logs and states of several processes: trainer/distributed/
///   stop                              a wish to end, until it is seen
///   summary.json, changes.jsonl       how it ended; what was changed when it was resumed
///   report.html, mixing.json          only where `millrace report` was asked for them
/// One process at a time holds a run folder; the destructor releases the lock.
class RunFolder {
 public:
  /// One line each, "key then -> now".
  struct Changes {
    std::vector<std::string> asked;  ///< They alter rows or losses and must be accepted.
    std::vector<std::string> free;   ///< They alter neither and are always allowed.
  };
  struct Options {
    bool resume = false;          ///< Resume the run in the folder; start a new one if there is none.
    bool accept_changes = false;  ///< Resume even if `changes` has entries in `asked`.
    RunOrigin origin = {};        ///< What a new run begins with. No checkpoint: resume whatever it was begun with.
    /// Compares the run with the one in the folder. Called if there is one, while the lock is held.
    std::function<Changes()> changes = [] { return Changes(); };
    std::string shards = {};  ///< Text of shards.jsonl. The caller has compared it with the existing file.
  };

  /// Creates the folder, or opens it again. Throws ConfigError: a run is there and `resume` is false; another process
  /// holds it; there are changes in `asked` (the message shows them) that were not accepted; the vocabulary is not the
  /// one that the run was begun with; the folder cannot be written; the run was begun with something else than
  /// `origin`.
  RunFolder(std::filesystem::path path, const RunFiles& texts, const std::filesystem::path& vocabulary,
            const std::string& vocabulary_hash, const Options& options);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path held_out() const { return path_ / "heldout.safetensors"; }
  std::filesystem::path log() const { return path_ / "train.log"; }
  std::filesystem::path summary() const { return path_ / "summary.json"; }
  const RunOrigin& origin() const { return origin_; }  ///< What the run was begun with.
  /// Empty if nothing was changed, or the folder is new.
  const Changes& changes() const { return changes_; }
  /// Stores the changes: writes the run's texts and shards, and a line of changes.jsonl with the number of steps done
  /// before. Until then the folder is unchanged.
  void keep_changes(const RunFiles& texts, const std::string& shards, std::uint64_t step);

 private:
  void begin(const RunFiles& texts, const std::filesystem::path& vocabulary, const std::string& vocabulary_hash);
  void check_same(const std::string& vocabulary_hash, const Options& options);
  void keep_shards(const std::string& shards);
  void write_texts(const RunFiles& texts);

  std::filesystem::path path_;
  RunOrigin origin_;
  int lock_ = -1;
  Changes changes_;
};

/// Asks whoever trains the run in this folder, on any machine, to end it between two steps. Throws std::system_error.
void ask_to_stop(const std::filesystem::path& run_folder);
bool is_asked_to_stop(const std::filesystem::path& run_folder);

/// True while a process of this machine, or of one that shares locks with it, holds the folder.
bool is_held(const std::filesystem::path& run_folder);

/// True if a run was begun in this folder.
bool holds_run(const std::filesystem::path& run_folder);

/// Where a run folder keeps the fingerprints of the run's shards. Runs of older programs have no such file.
std::filesystem::path shards_file(const std::filesystem::path& run_folder);

/// The vocabulary file in a checkpoint's folder or in the run folder above it; empty if there is none.
std::filesystem::path vocabulary_beside(const std::filesystem::path& checkpoint);

}  // namespace millrace
