#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "stages/listing/folder_walk.h"

namespace millrace {

/// True if `name` matches `pattern` of * ? [a-z] [!x]; a leading dot must be matched by a dot. No slashes in either.
bool matches_name(const std::string& pattern, const std::string& name);

/// True if it contains a wildcard.
bool is_pattern(const std::string& text);

/// What a pattern matches.
struct Expansion {
  std::vector<std::filesystem::path> found;  ///< In no particular order; includes dangling links.
  std::vector<FolderEntry> not_entered;      ///< Folders that were not searched and may hold more.
};

/// Everything that matches `pattern`; ** matches any number of folders, links are followed. A relative pattern starts
/// in `directory`, whose own name is taken literally.
Expansion expand_pattern(const std::filesystem::path& directory, const std::filesystem::path& pattern);

}  // namespace millrace
