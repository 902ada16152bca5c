#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/formats/block_checksums.h"
#include "pipeline/json_value.h"
#include "pipeline/output_names.h"

namespace millrace {

/// What to do about a damaged manifest.
inline constexpr const char* kDamagedManifest =
    "the file is damaged: remove the folder that it stands in and begin anew";

/// A folder of append-only files that get their final names only when all of them are complete. Until publish() they
/// are in FOLDER/.unfinished, with progress.json: the length of each at the last save, and the state that the caller
/// needs to continue. Reopening the folder after a crash truncates the files to the last save. One process at a time;
/// one thread. Names may have folders in them ("prose/0.npy"). Failed writes throw std::system_error naming the file
/// and what to do: see stages/io/disk.h.
class StagedFolder {
 public:
  /// What an output folder records about how it was made.
  struct Record {
    JsonValue json;  ///< With the key "identity"; the whole manifest, if it is complete.
    bool complete = false;
  };
  /// The record in `folder`; empty if no output was begun there. Completes a publish() that was interrupted. Throws
  /// ConfigError if the record is damaged, or if the folder holds other files.
  static std::optional<Record> inspect(const std::filesystem::path& folder);

  /// True if an output was begun in `folder` and is not complete.
  static bool is_begun(const std::filesystem::path& folder);

  /// Makes the folder, or opens one that was begun with the same identity (which the caller has compared). Throws
  /// ConfigError: it cannot be written, another process holds it, a file is shorter than at the last save.
  StagedFolder(std::filesystem::path folder, const nlohmann::ordered_json& identity);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  /// The state of the last save before this object was made, if any.
  const std::optional<JsonValue>& state() const { return state_; }

  void append(const std::string& name, const void* data, std::size_t bytes);  ///< Creates the file if needed.
  void append(const std::string& name, std::string_view text) { append(name, text.data(), text.size()); }
  void create(const std::string& name) { append(name, nullptr, 0); }
  bool has(const std::string& name) const { return files_.contains(name); }
  std::uint64_t size(const std::string& name) const;  ///< 0 if there is none.
  std::vector<std::string> names() const;             ///< In alphabetical order.
  std::size_t read(const std::string& name, std::uint64_t offset, void* into, std::size_t bytes);
  void close(const std::string& name);    ///< Closes the handle; no more appends.
  void discard(const std::string& name);  ///< Removes the file; final with the next save.

  /// Flushes everything to disk (fsync), together with `state`.
  void save(const nlohmann::ordered_json& state);
  /// Sums of all files.
  std::map<std::string, BlockChecksums> sums();
  /// Moves all files to their final names, `manifest` (with a key "identity") last. The object must not be used
  /// afterwards.
  void publish(const nlohmann::ordered_json& manifest);

 private:
  struct OpenFile;
  OpenFile& open(const std::string& name);
  void flush(const std::string& name, OpenFile& file);
  void sync(const std::string& name, OpenFile& file);
  void restore();
  std::filesystem::path staged(const std::string& name) const { return staging_ / name; }

  std::filesystem::path folder_;
  std::filesystem::path staging_;
  std::shared_ptr<const nlohmann::ordered_json> identity_;
  std::optional<JsonValue> state_;
  int lock_ = -1;
  std::map<std::string, std::unique_ptr<OpenFile>> files_;
  std::vector<std::string> discarded_;
};

}  // namespace millrace
