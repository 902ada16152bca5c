#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace millrace {

/// Which rows of a folder that preprocess wrote are shown, and how.
struct RowsView {
  std::filesystem::path folder;
  std::string vocabulary;  ///< File; empty: not at hand.
  std::uint64_t first = 0;
  std::uint64_t rows = 0;  ///< At most so many.
  bool statistics = false;
  bool json = false;
};

/// Whether a folder was made by preprocess, whole or not.
bool is_preprocessed(const std::filesystem::path& folder);

/// Prints rows as inspect does those of a run. Only text needs the vocabulary. Throws ConfigError if the folder does
/// not hold such rows, the vocabulary is another or missing, DataError for a damaged row.
void inspect_rows(const RowsView& view);

}  // namespace millrace
