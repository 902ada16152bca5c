#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/commands/inspect_statistics.h"

namespace millrace {

/// Which rows of an output of preprocess to show, and how.
struct RowsView {
  std::filesystem::path folder;
  std::string vocabulary;  ///< File; empty: none given.
  std::uint64_t first = 0;
  std::uint64_t rows = 0;  ///< Maximum number of rows.
  bool statistics = false;
  MixingOptions mixing;  ///< With `statistics`.
  bool json = false;
};

/// Whether a folder was written by preprocess, complete or not.
bool is_preprocessed(const std::filesystem::path& folder);

/// Prints rows in the format of inspect for runs. Only text output needs the vocabulary. Throws ConfigError if the
/// folder does not hold such rows or the vocabulary is missing or a different one, DataError for a damaged row.
void inspect_rows(const RowsView& view);

}  // namespace millrace
