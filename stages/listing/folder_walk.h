#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

/// What stands in a folder.
struct FolderEntry {
  enum class Kind : std::uint8_t {
    file,
    folder,             ///< Its own entries follow.
    hidden_folder,      ///< Its name begins with a dot: not entered.
    known_folder,       ///< A link to a folder that was entered before, under another name or as the one it stands in.
    unreadable_folder,  ///< Cannot be opened.
    unreachable,        ///< Cannot be looked at: a link to what is not there, mostly.
    special,            ///< FIFO, socket or device.
  };
  std::filesystem::path folder;  ///< That it stands in, as the walk came there.
  std::string name;
  Kind kind = Kind::file;

  std::filesystem::path path() const { return folder / name; }
};

/// Calls `visit` for whatever stands below `folder`, at any depth, in an order that depends on names only. Links are
/// followed; a folder that several names lead to is entered once, if it can be, under the one without a link.
/// Throws ConfigError if `folder` cannot be opened, or one that was opened cannot be read to its end.
void walk_folder(const std::filesystem::path& folder, const std::function<void(const FolderEntry&)>& visit);

/// What stands at `path`, links followed; unreachable also if nothing does.
FolderEntry::Kind kind_of(const std::filesystem::path& path);

}  // namespace millrace
