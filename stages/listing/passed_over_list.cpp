#include "stages/listing/passed_over_list.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stages/listing/natural_order.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNames = 10;

/// A folder's name for messages: without a trailing slash.
std::string plain(const fs::path& folder) {
  const fs::path normal = folder.empty() ? "." : folder.lexically_normal();
  return (normal.has_filename() || !normal.has_relative_path() ? normal : normal.parent_path()).string();
}

std::string shown(const std::string& folder, const std::string& name, PassedOver why) {
  if (why != PassedOver::dangling_link && why != PassedOver::known_folder && why != PassedOver::known_file) return name;
  std::error_code ignored;
  if (!fs::is_symlink(fs::path(folder) / name, ignored)) return name;  // A hard link leads nowhere.
  return fmt::format("{} -> {}", name, fs::read_symlink(fs::path(folder) / name, ignored).string());
}

}  // namespace

void PassedOverList::add(const fs::path& folder, const std::string& name, PassedOver why) {
  folders_[plain(folder)][why].insert(name);
}

void PassedOverList::add(const PassedOverList& list) {
  for (const auto& [folder, kinds] : list.folders_)
    for (const auto& [why, names] : kinds) folders_[folder][why].insert(names.begin(), names.end());
}

void PassedOverList::remove(const fs::path& file) {
  const auto folder = folders_.find(plain(file.parent_path()));
  if (folder == folders_.end()) return;
  for (auto& [why, names] : folder->second) names.erase(file.filename().string());
  std::erase_if(folder->second, [](const auto& kind) { return kind.second.empty(); });
  if (folder->second.empty()) folders_.erase(folder);
}

std::vector<std::string> PassedOverList::lines(std::size_t most) const {
  std::vector<std::string> folders;
  for (const auto& [folder, names] : folders_) folders.push_back(folder);
  std::ranges::sort(folders, natural_less);
  std::vector<std::string> lines;
  for (const std::string& folder : folders) {
    if (lines.size() == most) {
      lines.push_back(fmt::format("and in {} more folders", folders.size() - most));
      break;
    }
    std::vector<std::string> kinds;
    std::size_t room = kMostNames;
    for (const auto& [why, all] : folders_.at(folder)) {
      std::vector<std::string> names(all.begin(), all.end());
      std::ranges::sort(names, natural_less);
      names.resize(std::min(names.size(), room));
      room -= names.size();
      for (std::string& name : names) name = shown(folder, name, why);
      if (names.size() < all.size()) names.emplace_back("...");
      kinds.push_back(fmt::format("{}: {} ({})", name_of(why), all.size(), fmt::join(names, ", ")));
    }
    lines.push_back(fmt::format("{}: {}", folder, fmt::join(kinds, "; ")));
  }
  return lines;
}

}  // namespace millrace
