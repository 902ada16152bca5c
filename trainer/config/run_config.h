#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "pipeline/config/stream_config.h"
#include "trainer/config/grid_config.h"
#include "trainer/config/phase_settings.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// A run file with everything it names read and checked: mixes and objectives are inlined, defaults filled in.
struct RunConfig {
  std::filesystem::path file;
  std::filesystem::path vocabulary;  ///< Absolute. Not opened by load_run.
  StreamConfig stream;
  ModelConfig model;  ///< vocab_size is 0 unless the file sets it: the vocabulary's embedding_rows() then.
  TrainConfig train;
  std::vector<PhaseSettings> phases;  ///< One for each phase that the file has.
  GridWish grid;                      ///< No part of the run: not in `resolved`.
  bool names_loss_rows = false;       ///< The file, or --set, has [train] loss_rows.
  /// The resolved run as files of a run folder: "run.toml", "mixes/....toml", "objectives/....toml" and their text.
  /// load_run of that run.toml gives the same run again. Two runs are the same iff these are equal.
  std::vector<std::pair<std::string, std::string>> resolved;

  /// What a phase, counted from 0, trains with: the run's with the phase's own on top.
  ModelConfig phase_model(std::size_t phase) const;
  TrainConfig phase_train(std::size_t phase) const;
};

/// Which run to load, and what overrides its file.
struct RunSource {
  std::string run;                ///< A run file, or a run folder (its run.toml).
  std::string data;               ///< Folder that relative shard patterns refer to; empty: as the file says.
  std::vector<std::string> sets;  ///< "dotted.key=value"
};

/// Throws ConfigError with file, line, column.
RunConfig load_run(const RunSource& options);

/// Gives the run the loss_rows of another, which goes on in it. Throws ConfigError if its micro-batches do not fit.
void keep_loss_rows(const RunConfig& from, RunConfig& run);

/// The run's stream as training reads it: cut off after [train] tokens.
StreamConfig trained_stream(const RunConfig& run);

}  // namespace millrace
