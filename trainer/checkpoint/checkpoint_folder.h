#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/file_sum.h"

namespace millrace {

/// Checkpoints on disk, independent of their contents: folders "step-000123" in one parent folder, each complete or
/// absent.
/// A folder is filled under a temporary name; manifest.json, with the size and xxh3_64 of every other file but
/// clock.json, is written last; then the folder gets its name. It is valid iff its manifest exists and matches its
/// files.

/// What depends on the clock: no part of what a manifest vouches for, so that the same training gives the same
/// manifest.
inline constexpr const char* kClockFile = "clock.json";

/// The progress of a run when a checkpoint was made.
struct TrainProgress {
  std::uint64_t step = 0;
  std::uint64_t tokens = 0;  ///< Positions trained on; part of the manifest.
};

/// A checkpoint that is being written: an empty folder in `parent` under a temporary name, which is removed unless it
/// is published. All throw std::system_error if the disk fails.
class UnfinishedCheckpoint {
 public:
  UnfinishedCheckpoint(std::filesystem::path parent, const TrainProgress& place);
  ~UnfinishedCheckpoint();
  UnfinishedCheckpoint(const UnfinishedCheckpoint&) = delete;
  UnfinishedCheckpoint& operator=(const UnfinishedCheckpoint&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  /// Adds the manifest and gives the folder its name, "step-NNNNNN", replacing what has it. Files of `known` are not
  /// read again. Throws std::runtime_error if one of these is not there, or not of its size. Call once.
  std::filesystem::path publish(const std::vector<FileSum>& known = {});

 private:
  std::filesystem::path parent_;
  TrainProgress place_;
  std::filesystem::path folder_;
};

/// Calls `fill` with an unfinished checkpoint's folder, and publishes it with the sums that `fill` returns. A valid
/// folder of that name is not replaced. Throws what `fill` throws, std::system_error if the disk fails.
std::filesystem::path publish_checkpoint(const std::filesystem::path& parent, const TrainProgress& place,
                                         const std::function<std::vector<FileSum>(const std::filesystem::path&)>& fill);

/// Of the files of a checkpoint every `of`-th, beginning with this one: what one of several readers looks at.
struct FileShare {
  std::size_t first = 0;
  std::size_t of = 1;
};

/// Why `folder` is not a valid checkpoint; empty if it is. Reads every byte, or those of a share of the files.
std::string damage_of(const std::filesystem::path& folder, const FileShare& share = {});

/// Who looks for damage: one process, or several together.
using DamageCheck = std::function<std::string(const std::filesystem::path& folder)>;
inline std::string whole_damage_of(const std::filesystem::path& folder) {
  return damage_of(folder);
}

/// Steps of the folders named like checkpoints in `parent`, ascending; valid or not.
std::vector<std::uint64_t> checkpoint_steps(const std::filesystem::path& parent);
std::filesystem::path checkpoint_path(const std::filesystem::path& parent, std::uint64_t step);

struct DamagedCheckpoint {
  std::filesystem::path folder;
  std::string damage;  ///< As damage_of().
};

/// The newest valid checkpoint not in `damaged`; the newer, damaged ones that were skipped are added to `damaged`.
std::optional<std::filesystem::path> newest_valid_checkpoint(const std::filesystem::path& parent,
                                                             std::vector<DamagedCheckpoint>& damaged,
                                                             const DamageCheck& check = whole_damage_of);

/// Renames a damaged checkpoint to "damaged-step-NNNNNN" (replacing a folder of that name) and returns its path. It no
/// longer counts as a checkpoint, so no good one is removed for it.
std::filesystem::path set_aside(const std::filesystem::path& checkpoint);

/// Which checkpoints stay.
struct KeepRule {
  int last = 3;                    ///< The newest; at least 1.
  std::uint64_t every_tokens = 0;  ///< Also kept for ever: the first one at or after each multiple of it; 0: none.
};

/// Removes the checkpoints that the rule does not keep. REQUIRES: damaged ones were set aside.
void prune_checkpoints(const std::filesystem::path& parent, const KeepRule& keep);

/// Removes what publish_checkpoint and prune_checkpoints left behind when killed. Only the process that writes to
/// `parent` may call it.
void remove_unfinished_checkpoints(const std::filesystem::path& parent);

}  // namespace millrace
