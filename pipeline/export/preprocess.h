#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/export/export_manifest.h"
#include "pipeline/export/save_clock.h"
#include "pipeline/formats/document_writer.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// A run's documents or rows as files that other trainers, or our own, read.
struct PreprocessOptions {
  std::filesystem::path out;
  std::string format;                       ///< The name of one of formats.h.
  std::optional<std::uint64_t> tokens;      ///< Raw tokens of documents; positions of rows, which need it.
  std::optional<std::uint64_t> part_bytes;  ///< Of formats in parts. None: the format's own.
  std::string tokenizer;                    ///< The vocabulary file's name.
  int threads = 0;                          ///< 0: all cores. The output does not depend on it.
};

struct PreprocessResult {
  ExportEnd end = ExportEnd::complete;
  bool was_complete = false;  ///< The folder was whole already: nothing was done.
  ExportManifest manifest;    ///< Of a complete output.
};

/// Writes a whole output folder, or goes on with one that was begun and not finished: the bytes are the same whatever
/// came between. Throws ConfigError: wrong options; the folder holds an output of another configuration (naming what
/// differs) or something else; and what the formats throw.
PreprocessResult preprocess(const StreamConfig& config, const Vocabulary& vocabulary, const PreprocessOptions& options,
                            const ExportWatch& watch);

/// What is wrong with a whole output folder; empty if it is sound. Reads every byte. Throws ConfigError if there is
/// no whole output there.
std::vector<Damage> check_output(const std::filesystem::path& folder, const std::function<bool()>& interrupted);

}  // namespace millrace
