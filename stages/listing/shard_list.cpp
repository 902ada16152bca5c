#include "stages/listing/shard_list.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include "stages/errors.h"
#include "stages/io/input_file.h"
#include "stages/listing/folder_walk.h"
#include "stages/listing/glob.h"
#include "stages/listing/natural_order.h"
#include "stages/listing/passed_over_list.h"
#include "stages/listing/shard_names.h"
#include "stages/shards/shard_to_lines.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

using Kind = FolderEntry::Kind;

constexpr std::size_t kMostFoldersTold = 5;

/// Why a file, or a folder that cannot be entered, is not a shard.
std::optional<PassedOver> why_no_shard(const FolderEntry& entry) {
  std::error_code ignored;
  switch (entry.kind) {
    case Kind::hidden_folder:
      return PassedOver::hidden;
    case Kind::known_folder:
      return PassedOver::known_folder;
    case Kind::unreadable_folder:
      return PassedOver::unreadable_folder;
    case Kind::unreachable:
      return fs::is_symlink(entry.path(), ignored) ? PassedOver::dangling_link : PassedOver::unreachable;
    case Kind::special:
    case Kind::folder:
    case Kind::file:
      break;
  }
  if (const std::optional<PassedOver> why = plainly_no_shard(entry.name)) return why;
  if (!is_json_name(entry.name) || entry.kind != Kind::file) return std::nullopt;
  fs::path rejects = entry.path();
  if (fs::exists(rejects.replace_extension(".rejects.jsonl"), ignored)) return PassedOver::own;
  const std::optional<ForeignContainer> foreign = foreign_shard(entry.path().string(), "");
  return foreign && foreign->is_one_json_document ? std::optional(PassedOver::json_document) : std::nullopt;
}

[[noreturn]] void refuse_special(const fs::path& path) {
  throw ConfigError(fmt::format(
      "{}: a FIFO, socket or device; a shard is a regular file, which can be read again: save what it gives "
      "as one (only tokenize reads a stream, with --in -)",
      path.string()));
}

class ShardSearch {
 public:
  explicit ShardSearch(fs::path directory) : directory_(std::move(directory)) {}

  void add_pattern(const std::string& pattern) {
    if (pattern.empty()) throw ConfigError("a shard pattern is empty; expected a file, a folder, a glob or @list.txt");
    std::error_code error;
    const fs::path whole = directory_ / pattern;
    const bool is_there = fs::exists(whole, error);
    if (names_standard_input(pattern) && (pattern != "-" || !is_there)) refuse_standard_input(pattern);
    if (pattern.front() == '@') return add_list(pattern.substr(1));
    if (is_there) return add_named(whole);
    if (error || !add_matches(pattern)) refuse_pattern(pattern, error);
  }

  FoundShards take() {
    std::map<std::string, fs::path> named;
    for (const fs::path& file : files_) {
      if (!passed_over_.empty()) passed_over_.remove(file);
      named.emplace(name_of_file(file), file);
    }
    pass_over_other_names(named);
    FoundShards found;
    for (const auto& [name, file] : named) found.names.push_back(name);
    std::ranges::sort(found.names, natural_less);
    found.passed_over = passed_over_.lines();
    return found;
  }

 private:
  /// Of several names of one file keeps the one without a link, else the first.
  void pass_over_other_names(std::map<std::string, fs::path>& named) {
    std::map<std::pair<dev_t, ino_t>, std::vector<std::string>> files;
    for (const auto& [name, file] : named) {
      struct stat info {};
      if (::stat(file.c_str(), &info) == 0) files[{info.st_dev, info.st_ino}].push_back(name);
    }
    for (auto& [id, names] : files) {
      if (names.size() == 1) continue;
      std::ranges::sort(names, natural_less);
      std::ranges::stable_sort(names, {}, [&](const std::string& name) { return links_in(named.at(name)); });
      for (auto other = names.begin() + 1; other != names.end(); ++other) {
        const auto entry = named.find(*other);
        passed_over_.add(entry->second.parent_path(), entry->second.filename().string(), PassedOver::known_file);
        named.erase(entry);
      }
    }
  }

  /// Links in its path: 0: none; 1: to its folder; 2: it is one itself.
  static int links_in(const fs::path& file) {
    std::error_code ignored;
    if (fs::is_symlink(file, ignored)) return 2;
    return fs::canonical(file, ignored) == fs::absolute(file, ignored).lexically_normal() ? 0 : 1;
  }

  void add_named(const fs::path& path) {
    const Kind kind = kind_of(path);
    if (kind == Kind::special) refuse_special(path);
    if (kind == Kind::file) return files_.push_back(path);
    const std::size_t before = files_.size();
    const PassedOverList passed_over = add_folder(path);
    if (files_.size() == before) refuse_folder(path, passed_over);
  }

  /// Returns what it passed over.
  PassedOverList add_folder(const fs::path& folder) {
    PassedOverList passed_over;
    walk_folder(folder, [&](const FolderEntry& entry) {
      if (entry.kind == Kind::folder) return;
      std::optional<PassedOver> why = why_no_shard(entry);
      if (!why && entry.kind == Kind::special && is_shard_name(entry.name)) refuse_special(entry.path());
      if (!why && entry.kind == Kind::special) why = PassedOver::special;
      if (!why && !is_shard_name(entry.name)) why = PassedOver::other;
      if (!why) return files_.push_back(entry.path());
      passed_over.add(entry.folder, entry.name, *why);
    });
    passed_over_.add(passed_over);
    return passed_over;
  }

  /// Adds what a glob matches, and says whether there was any.
  bool add_matches(const std::string& pattern) {
    const std::size_t before = files_.size();
    Expansion expansion = expand_pattern(directory_, pattern);
    for (const FolderEntry& entry : expansion.not_entered)
      passed_over_.add(entry.folder, entry.name, why_no_shard(entry).value_or(PassedOver::other));
    const std::optional<PassedOver> wanted = plainly_no_shard(fs::path(pattern).filename().string());
    for (const fs::path& path : expansion.found) {
      const FolderEntry entry{path.parent_path(), path.filename().string(), kind_of(path)};
      if (entry.kind == Kind::folder) {
        add_folder(path);
        continue;
      }
      const std::optional<PassedOver> why = why_no_shard(entry);
      if (why && why != wanted) {
        passed_over_.add(entry.folder, entry.name, *why);
      } else if (entry.kind == Kind::special) {
        refuse_special(path);
      } else {
        files_.push_back(path);
      }
    }
    return files_.size() > before;
  }

  void add_list(const std::string& name) {
    const fs::path path = directory_ / name;
    std::ifstream list(path);
    std::error_code ignored;
    if (!list || fs::is_directory(path, ignored))
      throw ConfigError(fmt::format("{}: cannot read this list of shards", path.string()));
    int number = 0;
    int entries = 0;
    for (std::string line; std::getline(list, line);) {
      if (++number == 1 && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
      const std::string entry = entry_of(line);
      if (entry.empty()) continue;
      ++entries;
      if (entry.front() == '@')
        throw ConfigError(fmt::format("{}:{}: a list cannot name a list", path.string(), number));
      try {
        add_pattern(entry);
      } catch (const ConfigError& error) {
        throw ConfigError(fmt::format("{}:{}: {}", path.string(), number, error.what()));
      }
    }
    if (list.bad()) throw ConfigError(fmt::format("{}: reading this list of shards fails", path.string()));
    if (entries == 0) throw ConfigError(fmt::format("{}: this list names no shard", path.string()));
  }

  /// A line of a list without its comment and the blanks around. A # within a name is none.
  static std::string entry_of(std::string line) {
    constexpr const char* kBlanks = " \t\r";
    for (std::size_t at = line.find('#'); at != std::string::npos; at = line.find('#', at + 1)) {
      if (at + 1 < line.size() && std::string_view(kBlanks).find(line[at + 1]) == std::string_view::npos) continue;
      line.resize(at);
      break;
    }
    const std::size_t first = line.find_first_not_of(kBlanks);
    return first == std::string::npos ? "" : line.substr(first, line.find_last_not_of(kBlanks) + 1 - first);
  }

  static void refuse_standard_input(const std::string& pattern) {
    throw ConfigError(
        fmt::format("\"{}\": only tokenize reads a stream, with --in -; a shard is a regular file, which can be "
                    "read again: save the stream as one",
                    pattern));
  }

  static void refuse_folder(const fs::path& folder, const PassedOverList& passed_over) {
    const std::string there =
        passed_over.empty() ? "it is empty"
                            : fmt::format("there is\n  {}\n", fmt::join(passed_over.lines(kMostFoldersTold), "\n  "));
    throw ConfigError(
        fmt::format("no shard in the folder {}: {}{}a folder gives {}; name other files one by one, or by a "
                    "glob",
                    folder.string(), there, passed_over.empty() ? "; " : "", kShardNames));
  }

  void refuse_pattern(const std::string& pattern, const std::error_code& error) const {
    const std::string place = directory_.empty() ? "the current folder" : directory_.string();
    std::error_code ignored;
    const fs::path whole = directory_ / pattern;
    std::string why;
    if (error) {
      why = fmt::format(": {}", error.message());
    } else if (fs::is_symlink(whole, ignored)) {
      why = fmt::format(": it is a link to {}, which is not there", fs::read_symlink(whole, ignored).string());
    } else if (!passed_over_.empty()) {
      why = fmt::format("; passed over:\n  {}", fmt::join(passed_over_.lines(kMostFoldersTold), "\n  "));
    }
    throw ConfigError(fmt::format("no shard matches \"{}\" (looked from {}){}", pattern, place, why));
  }

  /// Relative to the directory where it lies below.
  std::string name_of_file(const fs::path& path) const {
    std::error_code ignored;
    const fs::path normal = path.lexically_normal();
    // ".." after a link does not lead back to the folder of the link.
    const bool is_same = normal == path || fs::equivalent(normal, path, ignored);
    const std::string whole = (is_same ? normal : path).string();
    std::string start = directory_.lexically_normal().string();
    if (start.empty() || start == ".") return whole;
    if (start.back() != '/') start += '/';
    return whole.starts_with(start) ? whole.substr(start.size()) : whole;
  }

  fs::path directory_;
  std::vector<fs::path> files_;
  PassedOverList passed_over_;
};

}  // namespace

FoundShards list_shards(const std::vector<std::string>& patterns, const std::string& directory) {
  ShardSearch search(directory);
  for (const std::string& pattern : patterns) search.add_pattern(pattern);
  return search.take();
}

}  // namespace millrace
