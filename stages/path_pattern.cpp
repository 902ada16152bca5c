#include "stages/path_pattern.h"

#include <system_error>

#include <fnmatch.h>

namespace millrace {
namespace fs = std::filesystem;

namespace {

using Names = std::vector<fs::path>;

/// Adds to `found` what matches names[next...] below `folder`.
void expand(const fs::path& folder, const Names& names, std::size_t next, std::vector<fs::path>& found) {
  if (next == names.size()) {
    found.push_back(folder);
    return;
  }
  const std::string name = names[next].string();
  if (!is_pattern(name)) {
    std::error_code ignored;
    const fs::path path = folder / name;
    if (fs::exists(path, ignored)) expand(path, names, next + 1, found);
    return;
  }
  const bool any_depth = name == "**";
  if (any_depth) expand(folder, names, next + 1, found);
  std::error_code unreadable;
  for (fs::directory_iterator entry(folder.empty() ? "." : folder, unreadable), end; entry != end && !unreadable;
       entry.increment(unreadable)) {
    const std::string entry_name = entry->path().filename().string();
    std::error_code ignored;
    if (any_depth) {
      const bool folder_to_follow = entry->is_directory(ignored) && !entry->is_symlink(ignored);
      if (folder_to_follow && entry_name.front() != '.') expand(folder / entry_name, names, next, found);
    } else if (matches_name(name, entry_name)) {
      expand(folder / entry_name, names, next + 1, found);
    }
  }
}

}  // namespace

bool matches_name(const std::string& pattern, const std::string& name) {
  return ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD | FNM_PATHNAME) == 0;
}

bool is_pattern(const std::string& text) {
  return text.find_first_of("*?[") != std::string::npos;
}

std::vector<fs::path> expand_pattern(const fs::path& pattern) {
  std::vector<fs::path> found;
  const Names names(pattern.begin(), pattern.end());
  if (pattern.is_absolute()) {
    expand(names.front(), names, 1, found);
  } else {
    expand({}, names, 0, found);
  }
  return found;
}

}  // namespace millrace
