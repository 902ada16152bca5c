#include "stages/listing/glob.h"

#include <system_error>

#include <fnmatch.h>

namespace millrace {
namespace fs = std::filesystem;

namespace {

class Expander {
 public:
  explicit Expander(const fs::path& pattern) : names_(pattern.begin(), pattern.end()) {}

  /// Adds what matches names_[next...] below `folder`.
  void expand(const fs::path& folder, std::size_t next) {
    if (next == names_.size()) {
      result_.found.push_back(folder);
    } else if (const std::string name = names_[next].string(); name == "**") {
      expand_below(folder, next + 1);
    } else if (is_pattern(name)) {
      expand_in(folder, name, next + 1);
    } else {
      std::error_code ignored;
      const fs::path path = folder / name;
      // A pattern that ends in a slash has no further name to match.
      if (name.empty() || fs::exists(fs::symlink_status(path, ignored))) expand(path, next + 1);
    }
  }

  Expansion take() { return std::move(result_); }

 private:
  void expand_below(const fs::path& folder, std::size_t next) {
    std::error_code ignored;
    if (!fs::is_directory(place(folder), ignored)) return;
    expand(folder, next);
    std::vector<fs::path> folders;
    walk_folder(place(folder), [&](const FolderEntry& entry) {
      if (entry.kind == FolderEntry::Kind::folder)
        folders.push_back(folder.empty() ? entry.path().lexically_normal() : entry.path());
      if (entry.kind == FolderEntry::Kind::unreadable_folder || entry.kind == FolderEntry::Kind::known_folder ||
          entry.kind == FolderEntry::Kind::hidden_folder)
        result_.not_entered.push_back(entry);
    });
    for (const fs::path& below : folders) expand(below, next);
  }

  void expand_in(const fs::path& folder, const std::string& pattern, std::size_t next) {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator entry(place(folder), error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (matches_name(pattern, name)) names.push_back(name);
    }
    if (error && error != std::errc::not_a_directory && error != std::errc::no_such_file_or_directory)
      result_.not_entered.push_back(
          {folder.parent_path(), folder.filename().string(), FolderEntry::Kind::unreadable_folder});
    for (const std::string& name : names) expand(folder / name, next);
  }

  static fs::path place(const fs::path& folder) { return folder.empty() ? "." : folder; }

  const std::vector<fs::path> names_;
  Expansion result_;
};

}  // namespace

bool matches_name(const std::string& pattern, const std::string& name) {
  return ::fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD | FNM_PATHNAME) == 0;
}

bool is_pattern(const std::string& text) {
  return text.find_first_of("*?[") != std::string::npos;
}

Expansion expand_pattern(const fs::path& directory, const fs::path& pattern) {
  Expander expander(pattern);
  if (pattern.is_absolute()) {
    expander.expand(pattern.root_path(), 1);
  } else {
    expander.expand(directory, 0);
  }
  return expander.take();
}

}  // namespace millrace
