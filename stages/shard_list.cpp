#include "stages/shard_list.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/path_pattern.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// What `millrace index` writes beside a manifest may stand among the shards, and is none.
bool is_rejects_file(const std::string& name) {
  return matches_name("*.rejects.jsonl", name);
}

void add_folder(const fs::path& folder, std::vector<fs::path>& files) {
  std::error_code unreadable;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, unreadable);
  for (const fs::recursive_directory_iterator end; entry != end && !unreadable; entry.increment(unreadable)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    if (is_rejects_file(name)) continue;
    if (matches_name("*.jsonl*", name) || matches_name("*.parquet", name)) files.push_back(entry->path());
  }
  if (unreadable) throw ConfigError(fmt::format("{}: {}", folder.string(), unreadable.message()));
}

/// Adds the files that one pattern names, and says whether there was any.
bool add_matches(const std::string& pattern, const fs::path& directory, std::vector<fs::path>& files) {
  const std::size_t before = files.size();
  const fs::path whole = directory / pattern;
  std::error_code ignored;
  const bool is_named = fs::exists(whole, ignored);
  for (const fs::path& path : is_named ? std::vector<fs::path>{whole} : expand_pattern(whole)) {
    if (!is_named && is_rejects_file(path.filename().string())) continue;
    if (fs::is_directory(path, ignored)) {
      add_folder(path, files);
    } else {
      files.push_back(path);
    }
  }
  return files.size() > before;
}

void add_pattern(const std::string& pattern, const fs::path& directory, std::vector<fs::path>& files);

void add_list(const std::string& name, const fs::path& directory, std::vector<fs::path>& files) {
  const fs::path path = directory / name;
  std::ifstream list(path);
  std::error_code ignored;
  if (!list || fs::is_directory(path, ignored))
    throw ConfigError(fmt::format("{}: cannot read this list of shards", path.string()));
  int number = 0;
  for (std::string line; std::getline(list, line);) {
    ++number;
    line.erase(std::find(line.begin(), line.end(), '#'), line.end());
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    line = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
    if (line.front() == '@') throw ConfigError(fmt::format("{}:{}: a list cannot name a list", path.string(), number));
    try {
      add_pattern(line, directory, files);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("{}:{}: {}", path.string(), number, error.what()));
    }
  }
}

void add_pattern(const std::string& pattern, const fs::path& directory, std::vector<fs::path>& files) {
  if (pattern.empty()) throw ConfigError("a shard pattern is empty; expected a file, a folder, a glob or @list.txt");
  if (pattern.front() == '@') return add_list(pattern.substr(1), directory, files);
  if (!add_matches(pattern, directory, files)) {
    const std::string place = directory.empty() ? "the current folder" : directory.string();
    throw ConfigError(fmt::format("no shard matches \"{}\" (looked from {})", pattern, place));
  }
}

std::string relative_to(const fs::path& directory, const fs::path& path) {
  const std::string whole = path.lexically_normal().string();
  std::string start = directory.lexically_normal().string();
  if (start.empty() || start == ".") return whole;
  if (start.back() != '/') start += '/';
  return whole.rfind(start, 0) == 0 ? whole.substr(start.size()) : whole;
}

}  // namespace

bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const auto number = [](const std::string& text, std::size_t& at) {
        while (at < text.size() && text[at] == '0') ++at;
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at])) ++at;
        return std::string_view(text).substr(begin, at - begin);
      };
      const std::string_view x = number(a, i);
      const std::string_view y = number(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i;
      ++j;
    }
  }
  const bool a_ends = i == a.size();
  const bool b_ends = j == b.size();
  if (a_ends != b_ends) return a_ends;
  return a < b;  // Equal but for leading zeros.
}

std::vector<std::string> list_shards(const std::vector<std::string>& patterns, const std::string& directory) {
  std::vector<fs::path> files;
  for (const std::string& pattern : patterns) add_pattern(pattern, directory, files);
  std::vector<std::string> shards;
  shards.reserve(files.size());
  for (const fs::path& file : files) shards.push_back(relative_to(directory, file));
  std::sort(shards.begin(), shards.end(), natural_less);
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

}  // namespace millrace
