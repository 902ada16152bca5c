#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/export_identity.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Writes the stream's rows in a format, in parts, each written at once. One thread.
class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual void add(const StreamRow& row) = 0;
  /// Writes the buffered rows, if any.
  virtual void end_part() = 0;
  /// True if no rows are buffered: files and state() are complete.
  virtual bool is_between_parts() const = 0;
  /// State from which another writer can continue.
  virtual nlohmann::ordered_json state() const = 0;
  /// Completes the files. Call once, last, between parts.
  virtual void finish() = 0;
};

/// What writing rows needs to know.
struct RowFiles {
  int length = 0;  ///< T
  ExportIdentity identity;
  const JsonValue* state = nullptr;  ///< To continue from; nullptr: from the beginning.
};

/// What a folder of rows should hold.
struct WrittenRows {
  std::uint64_t rows = 0;
  int length = 0;
  ExportIdentity identity;
};

/// A format that holds rows.
struct RowFormat {
  const char* name;
  std::uint64_t most_part_bytes;  ///< Largest part the format allows.
  std::unique_ptr<RowWriter> (*writer)(StagedFolder& folder, const RowFiles& files);
  /// Checks the files of `folder` against each other and what was written.
  std::vector<Damage> (*check)(const std::filesystem::path& folder, const WrittenRows& rows);
  std::uint64_t part_bytes = 1ull << 26;  ///< The longest part where nobody asks for another.
};

}  // namespace millrace
