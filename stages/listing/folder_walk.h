#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

/// An entry of a folder.
struct FolderEntry {
  enum class Kind : std::uint8_t {
    file,
    folder,             ///< Its own entries follow.
    hidden_folder,      ///< Its name begins with a dot: not entered.
    known_folder,       ///< A link to a folder that was already entered, or to one of its own parents.
    unreadable_folder,  ///< Cannot be opened.
    unreachable,        ///< stat fails: usually a dangling link.
    special,            ///< FIFO, socket or device.
  };
  std::filesystem::path folder;  ///< The folder that holds it, by the path of the walk.
  std::string name;
  Kind kind = Kind::file;

  std::filesystem::path path() const { return folder / name; }
};

/// Calls `visit` for everything below `folder`, at any depth, in an order that depends on names only. Links are
/// followed; a folder with several names is entered once, if possible under a name without a link. Throws ConfigError
/// if `folder` cannot be opened, or an opened folder cannot be read to its end.
void walk_folder(const std::filesystem::path& folder, const std::function<void(const FolderEntry&)>& visit);

/// The kind of `path`, links followed; unreachable also if it does not exist.
FolderEntry::Kind kind_of(const std::filesystem::path& path);

}  // namespace millrace
