#include "trainer/checkpoint/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr const char* kManifestFormat = "millrace-checkpoint";
constexpr int kManifestVersion = 1;
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kDamaged = "damaged-";
constexpr std::string_view kUnfinished = ".unfinished-";
constexpr std::string_view kRemoved = ".removed-";

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  names.erase(kManifest);
  names.erase(kClockFile);
  return names;
}

/// Of a file that another writer told of, perhaps on another machine.
void require_there(const fs::path& folder, const FileSum& known) {
  const fs::path file = folder / known.name;
  if (!fs::is_regular_file(file) || fs::file_size(file) != known.bytes)
    throw std::runtime_error(
        fmt::format("{}: was written with {} bytes, but is not so here: do all machines share the folder?",
                    file.string(), known.bytes));
}

void write_manifest(const fs::path& folder, const TrainProgress& place, const std::vector<FileSum>& known) {
  Json files = Json::object();
  for (const FileSum& sum : known) require_there(folder, sum);
  for (const std::string& name : files_in(folder)) {
    const auto told = std::ranges::find(known, name, &FileSum::name);
    const FileSum sum = told != known.end() ? *told : sum_of(folder / name);
    files[name] = {{"bytes", sum.bytes}, {"xxh3", sum.xxh3}};
  }
  const Json manifest{{"format", kManifestFormat},
                      {"version", kManifestVersion},
                      {"step", place.step},
                      {"tokens", place.tokens},
                      {"files", files}};
  write_file_atomically(folder / kManifest, json_page(manifest));
}

/// Positions trained on; 0 if the manifest does not say.
std::uint64_t tokens_of(const fs::path& folder) {
  try {
    return JsonValue::read(folder / kManifest).get<std::uint64_t>("tokens", 0);
  } catch (const ConfigError&) {
    return 0;  // Damaged: not kept by every_tokens.
  }
}

std::optional<std::uint64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stop != end) return std::nullopt;
  return step;
}

std::string damage_of_file(const fs::path& path, const JsonValue& expected) {
  const std::string name = path.filename().string();
  if (!fs::is_regular_file(path)) return name + " is missing";
  const auto bytes = expected.get<std::uint64_t>("bytes");
  if (fs::file_size(path) != bytes)
    return fmt::format("{} has {} bytes, the manifest says {}", name, fs::file_size(path), bytes);
  if (sum_of(path).xxh3 != expected.get<std::string>("xxh3"))
    return fmt::format("{} is damaged: its checksum is not the manifest's", name);
  return "";
}

/// Another process sees the whole checkpoint or none.
void remove_at_once(const fs::path& folder) {
  const fs::path removed = folder.parent_path() / fmt::format("{}{}", kRemoved, folder.filename().string());
  fs::rename(folder, removed);
  fs::remove_all(removed);
}

}  // namespace

UnfinishedCheckpoint::UnfinishedCheckpoint(fs::path parent, const TrainProgress& place)
    : parent_(std::move(parent)), place_(place) {
  fs::create_directories(parent_);
  const std::string name = checkpoint_path(parent_, place.step).filename().string();
  folder_ = parent_ / fmt::format("{}{}", kUnfinished, name);
  fs::remove_all(folder_);
  fs::create_directory(folder_);
}

UnfinishedCheckpoint::~UnfinishedCheckpoint() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

fs::path UnfinishedCheckpoint::publish(const std::vector<FileSum>& known) {
  fs::path name = checkpoint_path(parent_, place_.step);
  write_manifest(folder_, place_, known);
  fs::remove_all(name);
  fs::rename(folder_, name);
  sync_to_disk(parent_);
  return name;
}

fs::path publish_checkpoint(const fs::path& parent, const TrainProgress& place,
                            const std::function<std::vector<FileSum>(const fs::path&)>& fill) {
  fs::path there = checkpoint_path(parent, place.step);
  if (fs::exists(there) && damage_of(there).empty()) return there;
  UnfinishedCheckpoint unfinished(parent, place);
  return unfinished.publish(fill(unfinished.folder()));
}

std::string damage_of(const fs::path& folder, const FileShare& share) {
  if (!fs::exists(folder / kManifest)) return fmt::format("{} is missing", kManifest);
  try {
    const JsonValue manifest = JsonValue::parse(read_whole_file(folder / kManifest), {kManifest, 0, ""});
    if (manifest.get<std::string>("format") != kManifestFormat || manifest.get<int>("version") != kManifestVersion)
      return fmt::format("{} is not of \"{}\" version {}", kManifest, kManifestFormat, kManifestVersion);
    std::size_t number = 0;
    for (const auto& [name, expected] : manifest.at("files").members()) {
      if (number++ % share.of != share.first) continue;
      if (std::string damage = damage_of_file(folder / name, expected); !damage.empty()) return damage;
    }
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  } catch (const std::system_error& error) {
    return error.what();
  }
}

std::vector<std::uint64_t> checkpoint_steps(const fs::path& parent) {
  std::vector<std::uint64_t> steps;
  if (!fs::is_directory(parent)) return steps;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent))
    if (const auto step = step_of(entry.path().filename().string()); step && entry.is_directory())
      steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

fs::path checkpoint_path(const fs::path& parent, std::uint64_t step) {
  return parent / fmt::format("{}{:06}", kPrefix, step);
}

std::optional<fs::path> newest_valid_checkpoint(const fs::path& parent, std::vector<DamagedCheckpoint>& damaged,
                                                const DamageCheck& check) {
  const std::vector<std::uint64_t> steps = checkpoint_steps(parent);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    fs::path folder = checkpoint_path(parent, *step);
    if (std::ranges::find(damaged, folder, &DamagedCheckpoint::folder) != damaged.end()) continue;
    std::string damage = check(folder);
    if (damage.empty()) return folder;
    damaged.push_back({std::move(folder), std::move(damage)});
  }
  return std::nullopt;
}

fs::path set_aside(const fs::path& checkpoint) {
  fs::path aside = checkpoint.parent_path() / fmt::format("{}{}", kDamaged, checkpoint.filename().string());
  fs::remove_all(aside);
  fs::rename(checkpoint, aside);
  return aside;
}

void prune_checkpoints(const fs::path& parent, const KeepRule& keep) {
  const std::vector<std::uint64_t> steps = checkpoint_steps(parent);
  const std::size_t last = static_cast<std::size_t>(std::max(keep.last, 1));
  std::uint64_t multiple = 0;
  for (std::size_t i = 0; i + last < steps.size(); ++i) {
    const fs::path folder = checkpoint_path(parent, steps[i]);
    const std::uint64_t reached = keep.every_tokens == 0 ? 0 : tokens_of(folder) / keep.every_tokens;
    if (reached > multiple) {
      multiple = reached;
      continue;
    }
    remove_at_once(folder);
  }
}

void remove_unfinished_checkpoints(const fs::path& parent) {
  if (!fs::is_directory(parent)) return;
  std::vector<fs::path> unfinished;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kUnfinished) || name.starts_with(kRemoved)) unfinished.push_back(entry.path());
  }
  for (const fs::path& folder : unfinished) fs::remove_all(folder);
}

}  // namespace millrace
