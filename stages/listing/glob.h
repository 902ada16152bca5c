#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "stages/listing/folder_walk.h"

namespace millrace {

/// True if `name` matches `pattern` of * ? [a-z] [!x]; a leading dot must be matched by a dot. No slashes in either.
bool matches_name(const std::string& pattern, const std::string& name);

/// True if there is a wildcard in it.
bool is_pattern(const std::string& text);

/// What a pattern stands for.
struct Expansion {
  std::vector<std::filesystem::path> found;  ///< In no particular order; links too that lead nowhere.
  std::vector<FolderEntry> not_entered;      ///< Folders in which more might have been.
};

/// What there is under the name `pattern`, ** standing for any number of folders, links followed. A relative pattern
/// begins in `directory`, whose own name is no pattern.
Expansion expand_pattern(const std::filesystem::path& directory, const std::filesystem::path& pattern);

}  // namespace millrace
