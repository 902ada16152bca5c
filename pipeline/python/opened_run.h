#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

/// Which run to open, and what overrides its file.
struct RunToOpen {
  std::string file;               ///< Or a run folder: the resolved run in it.
  std::string data;               ///< Folder that relative shard patterns refer to; empty: as the file says.
  std::vector<std::string> sets;  ///< "dotted.key=value"
};

/// What a run file says of its rows. What it says of training is not read, but for the rows of a batch and where it
/// ends.
struct StreamOfRun {
  std::filesystem::path file;
  std::filesystem::path folder;      ///< Of the run, if it was one; else empty.
  std::filesystem::path vocabulary;  ///< Absolute. Not opened.
  StreamConfig stream;               ///< Up to [train] tokens.
  std::optional<int> batch_rows;     ///< [train] batch_rows, where the file has it.
};

/// Throws ConfigError with file, line and column, also for a key that no run has.
StreamOfRun open_run(const RunToOpen& options);

/// What the shards of each corpus are, by the corpus's name: 16 hex digits that change if a shard is added, missing,
/// renamed, longer or shorter, or another in what is sampled of it (128 KiB). Throws ConfigError naming a shard that
/// cannot be read; Interrupted once `interrupted`.
std::map<std::string, std::string> shard_hashes(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                                const std::atomic<bool>& interrupted);

/// Throws ConfigError, naming them, if shards are not those that a run folder recorded; Interrupted once `interrupted`.
void expect_recorded_shards(const std::filesystem::path& run_folder, const StreamConfig& stream,
                            const std::vector<RunCorpus>& corpora, const std::atomic<bool>& interrupted);

}  // namespace millrace
