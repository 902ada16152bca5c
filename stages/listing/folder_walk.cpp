#include "stages/listing/folder_walk.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>

#include "stages/errors.h"
#include "stages/listing/natural_order.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Kind = FolderEntry::Kind;

class Walk {
 public:
  explicit Walk(const std::function<void(const FolderEntry&)>& visit) : visit_(visit) {}

  void run(const fs::path& root) {
    is_new(root);
    std::error_code error;
    enter(root, error);
    if (error) throw ConfigError(fmt::format("{}: cannot read this folder: {}", root.string(), error.message()));
    // Links come last, so that files below the root are found under their own names.
    while (!links_.empty()) {
      std::vector<FolderEntry> links = std::exchange(links_, {});
      std::ranges::sort(links, natural_less, [](const FolderEntry& link) { return link.path().string(); });
      for (FolderEntry& link : links) visit_folder(std::move(link));
    }
  }

 private:
  /// Visits the entries of `folder`. `error` is set if it cannot be opened.
  void enter(const fs::path& folder, std::error_code& error) {
    std::vector<std::string> names;
    fs::directory_iterator entry(folder, error);
    if (error) return;
    for (const fs::directory_iterator end; !error && entry != end; entry.increment(error))
      names.push_back(entry->path().filename().string());
    if (error) throw ConfigError(fmt::format("{}: reading this folder fails: {}", folder.string(), error.message()));
    std::ranges::sort(names, natural_less);
    for (std::string& name : names) visit_entry({folder, std::move(name)});
  }

  void visit_entry(FolderEntry entry) {
    std::error_code ignored;
    entry.kind = kind_of(entry.path());
    if (entry.kind != Kind::folder) return visit_(entry);
    if (entry.name.front() == '.') {
      entry.kind = Kind::hidden_folder;
      visit_(entry);
    } else if (fs::is_symlink(entry.path(), ignored)) {
      links_.push_back(std::move(entry));
    } else {
      visit_folder(std::move(entry));
    }
  }

  void visit_folder(FolderEntry entry) {
    const fs::path path = entry.path();
    std::error_code unreadable;
    if (!is_new(path)) {
      entry.kind = Kind::known_folder;
      return visit_(entry);
    }
    fs::directory_iterator tried(path, unreadable);
    if (unreadable) entry.kind = Kind::unreadable_folder;
    visit_(entry);
    if (!unreadable) enter(path, unreadable);
  }

  bool is_new(const fs::path& folder) {
    struct stat info {};
    return ::stat(folder.c_str(), &info) != 0 || entered_.emplace(info.st_dev, info.st_ino).second;
  }

  const std::function<void(const FolderEntry&)>& visit_;
  std::set<std::pair<dev_t, ino_t>> entered_;
  std::vector<FolderEntry> links_;  // To folders.
};

}  // namespace

void walk_folder(const fs::path& folder, const std::function<void(const FolderEntry&)>& visit) {
  Walk(visit).run(folder);
}

FolderEntry::Kind kind_of(const fs::path& path) {
  std::error_code error;
  switch (fs::status(path, error).type()) {
    case fs::file_type::regular:
      return Kind::file;
    case fs::file_type::directory:
      return Kind::folder;
    case fs::file_type::none:
    case fs::file_type::not_found:
    case fs::file_type::unknown:
      return Kind::unreachable;
    default:
      return Kind::special;
  }
}

}  // namespace millrace
