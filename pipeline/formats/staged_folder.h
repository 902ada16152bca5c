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

/// What to do about one that is damaged.
inline constexpr const char* kDamagedManifest =
    "the file is damaged: remove the folder that it stands in and begin anew";

/// A folder of files that only grow, and that stand under their names only when all of them are whole.
/// Until publish() they lie in FOLDER/.unfinished, with progress.json: how long each was at the last save, and what the
/// maker said it needs to go on. A process that is killed leaves the last save behind; whoever opens the folder again
/// finds its files cut back to it. One process at a time; one thread. Names may have folders in them ("prose/0.npy").
/// What the disk refuses is std::system_error with the file and what to do: see stages/io/disk.h.
class StagedFolder {
 public:
  /// What an output folder says of who made it.
  struct Record {
    JsonValue json;  ///< With the key "identity"; the whole manifest, if it is complete.
    bool complete = false;
  };
  /// What stands in `folder`; nothing if nothing was begun there. What was whole but for its place is given it. Throws
  /// ConfigError if it is damaged, or if the folder has files of somebody else.
  static std::optional<Record> inspect(const std::filesystem::path& folder);

  /// True if an output was begun in `folder` and is not whole.
  static bool is_begun(const std::filesystem::path& folder);

  /// Makes the folder, or opens one that was begun with the same identity (which the caller has compared). Throws
  /// ConfigError: it cannot be written, another process holds it, what lies there is shorter than it was.
  StagedFolder(std::filesystem::path folder, const nlohmann::ordered_json& identity);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  /// What the last save before this object was given; none if there was none.
  const std::optional<JsonValue>& state() const { return state_; }

  void append(const std::string& name, const void* data, std::size_t bytes);  ///< Makes the file if need be.
  void append(const std::string& name, std::string_view text) { append(name, text.data(), text.size()); }
  void create(const std::string& name) { append(name, nullptr, 0); }
  bool has(const std::string& name) const { return files_.contains(name); }
  std::uint64_t size(const std::string& name) const;  ///< 0 if there is none.
  std::vector<std::string> names() const;             ///< In alphabetical order.
  std::size_t read(const std::string& name, std::uint64_t offset, void* into, std::size_t bytes);
  void close(const std::string& name);    ///< Nothing is appended any more: gives its handle back.
  void discard(const std::string& name);  ///< Gone, for good with the next save.

  /// Makes everything last, together with `state`.
  void save(const nlohmann::ordered_json& state);
  /// Sums of all files.
  std::map<std::string, BlockChecksums> sums();
  /// Gives all files their names, and `manifest` (with a key "identity") its own, last. The end of this object's use.
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
