#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "pipeline/stream_config.h"
#include "trainer/train_config.h"

namespace CLI {
class App;
}

namespace millrace {

/// A run file with everything it names read and checked: mixes and objectives are inlined, defaults filled in.
struct RunFile {
  std::filesystem::path file;
  std::filesystem::path vocabulary;  ///< Absolute. Not opened by load_run.
  StreamConfig stream;
  ModelConfig model;  ///< vocab_size is 0 unless the file sets it: the vocabulary's embedding_rows() then.
  TrainConfig train;
  /// The resolved run as files of a run folder: "run.toml", "mixes/....toml", "objectives/....toml" and their text.
  /// load_run of that run.toml gives the same run again. Two runs are the same iff these are equal.
  std::vector<std::pair<std::string, std::string>> resolved;
};

/// What every command that takes a RUN offers: RUN, --data (or MILLRACE_DATA), --set dotted.key=value.
struct RunOptions {
  std::string run;  ///< A run file, or a run folder (its run.toml).
  std::string data;
  std::vector<std::string> sets;
};
void add_run_options(CLI::App& command, RunOptions& options);

/// Throws ConfigError with file, line, column.
RunFile load_run(const RunOptions& options);

/// The run's stream as training reads it: it ends where [train] tokens ends.
StreamConfig trained_stream(const RunFile& run);

}  // namespace millrace
