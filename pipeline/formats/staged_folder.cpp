#include "pipeline/formats/staged_folder.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"
#include "stages/io/input_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// No corpus name, and so no published name, begins with a dot.
constexpr const char* kStaging = ".unfinished";
constexpr const char* kProgress = "progress.json";
constexpr std::size_t kBuffer = 1 << 20;

/// Names of all files below `folder`, relative to it, in descending order: data before its index.
std::vector<std::string> files_below(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) names.push_back(entry.path().lexically_relative(folder).string());
  std::ranges::sort(names, std::greater<>());
  return names;
}

/// Moves complete files to their final names; may be repeated after a crash.
void move_into_place(const fs::path& staging, const fs::path& folder) {
  if (fs::exists(folder / kOutputManifest)) {
    fs::remove_all(staging);
    return;
  }
  std::set<fs::path> folders{folder};
  for (const std::string& name : files_below(staging)) {
    if (name == kProgress || name == kOutputManifest) continue;
    folders.insert((folder / name).parent_path());
    fs::create_directories((folder / name).parent_path());
    fs::rename(staging / name, folder / name);
  }
  for (const fs::path& touched : folders) sync_to_disk(touched);
  fs::rename(staging / kOutputManifest, folder / kOutputManifest);
  sync_to_disk(folder);
  fs::remove_all(staging);
}

}  // namespace

struct StagedFolder::OpenFile {
  ~OpenFile() {
    if (descriptor >= 0) ::close(descriptor);
  }

  BlockChecksums saved;  ///< Of a file that is not open.
  int descriptor = -1;
  RunningSums running;
  std::uint64_t bytes = 0;
  std::string buffer;  ///< Summed, not written yet.
  bool synced = true;
  bool name_synced = true;
};

std::optional<StagedFolder::Record> StagedFolder::inspect(const fs::path& folder) {
  if (!fs::exists(folder)) return std::nullopt;
  if (!fs::is_directory(folder)) throw ConfigError(fmt::format("{}: is no folder", folder.string()));
  const auto record = [](const fs::path& file, bool complete) {
    const JsonValue json = JsonValue::read(file, kDamagedManifest);
    if (!json.has("identity")) throw ConfigError(fmt::format("{}: not written by millrace preprocess", file.string()));
    return Record{json, complete};
  };
  const fs::path manifest = folder / kOutputManifest;
  const fs::path staging = folder / kStaging;
  if (fs::exists(staging) && (fs::exists(manifest) || fs::exists(staging / kOutputManifest))) {
    const int lock = lock_folder(folder);  // Everything was written, then the process was killed.
    move_into_place(staging, folder);
    ::close(lock);
  }
  if (fs::exists(manifest)) return record(manifest, true);
  const fs::path progress = staging / kProgress;
  if (fs::exists(progress)) return record(progress, false);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != kStaging && name != "lost+found")
      throw ConfigError(
          fmt::format("{}: not empty, and not made by millrace preprocess: it has \"{}\"; choose another "
                      "folder",
                      folder.string(), name));
  }
  return std::nullopt;
}

bool StagedFolder::is_begun(const fs::path& folder) {
  return fs::exists(folder / kStaging / kProgress);
}

StagedFolder::StagedFolder(fs::path folder, const Json& identity)
    : folder_(std::move(folder)), staging_(folder_ / kStaging), identity_(std::make_shared<const Json>(identity)) {
  std::error_code error;
  fs::create_directories(staging_, error);
  if (error) throw ConfigError(fmt::format("cannot make the folder {}: {}", staging_.string(), error.message()));
  lock_ = lock_folder(folder_);
  try {
    restore();
    // A later process must know what was begun; and a folder that cannot be written to must fail before hours of work.
    save(state_ ? state_->json() : Json());
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

StagedFolder::~StagedFolder() {
  ::close(lock_);
}

void StagedFolder::restore() {
  if (fs::exists(staged(kProgress))) {
    const JsonValue progress = JsonValue::read(staged(kProgress), kDamagedManifest);
    if (const JsonValue state = progress.at("state"); !state.is_null()) state_ = state;
    for (const auto& [name, sums] : progress.get<std::map<std::string, BlockChecksums>>("files")) {
      const auto& file = files_[name] = std::make_unique<OpenFile>();
      file->saved = sums;
      file->bytes = file->saved.bytes;
      std::error_code missing;
      const std::uintmax_t size = fs::file_size(staged(name), missing);
      if (missing || size < file->bytes)
        throw ConfigError(fmt::format(
            "{}: {} bytes were saved there, but {}; remove {} to begin anew", staged(name).string(), file->bytes,
            missing ? std::string("it is gone") : fmt::format("it has {}", size), staging_.string()));
      if (size > file->bytes) fs::resize_file(staged(name), file->bytes);
    }
  }
  for (const std::string& name : files_below(staging_))
    if (name != kProgress && !has(name)) fs::remove(staged(name));
}

std::uint64_t StagedFolder::size(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? 0 : found->second->bytes;
}

std::vector<std::string> StagedFolder::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

StagedFolder::OpenFile& StagedFolder::open(const std::string& name) {
  std::unique_ptr<OpenFile>& file = files_[name];
  if (file == nullptr) {
    file = std::make_unique<OpenFile>();
    fs::create_directories(staged(name).parent_path());
    file->synced = file->name_synced = false;
  }
  if (file->descriptor >= 0) return *file;
  file->descriptor = ::open(staged(name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file->descriptor < 0) disk_failure(staged(name), errno, "cannot open for writing");
  const std::uint64_t whole = file->bytes / BlockChecksums::kBlock * BlockChecksums::kBlock;
  std::vector<char> rest(file->bytes - whole);
  if (!rest.empty()) rest.resize(InputFile(staged(name).string()).read_at(whole, rest.data(), rest.size()));
  file->running = RunningSums(file->saved, rest);
  if (file->running.sums() != file->saved)
    throw ConfigError(fmt::format("{}: not what was written there; remove {} to begin anew", staged(name).string(),
                                  staging_.string()));
  return *file;
}

void StagedFolder::append(const std::string& name, const void* data, std::size_t bytes) {
  OpenFile& file = open(name);
  if (bytes == 0) return;
  file.running.add(data, bytes);
  file.bytes += bytes;
  file.synced = false;
  const std::string_view piece(static_cast<const char*>(data), bytes);
  if (file.buffer.size() + bytes >= kBuffer) {
    flush(name, file);
    write_all(file.descriptor, staged(name), piece);
  } else {
    file.buffer += piece;
  }
}

void StagedFolder::flush(const std::string& name, OpenFile& file) {
  if (file.buffer.empty()) return;
  write_all(file.descriptor, staged(name), file.buffer);
  file.buffer.clear();
}

void StagedFolder::sync(const std::string& name, OpenFile& file) {
  flush(name, file);
  if (!file.synced && !millrace::synced(file.descriptor)) disk_failure(staged(name), errno, "cannot sync");
  if (!file.name_synced) sync_to_disk(staged(name).parent_path());
  file.synced = file.name_synced = true;
}

std::size_t StagedFolder::read(const std::string& name, std::uint64_t offset, void* into, std::size_t bytes) {
  OpenFile& file = *files_.at(name);
  if (file.descriptor >= 0) flush(name, file);
  return InputFile(staged(name).string()).read_at(offset, static_cast<char*>(into), bytes);
}

void StagedFolder::close(const std::string& name) {
  OpenFile& file = *files_.at(name);
  if (file.descriptor < 0) return;
  sync(name, file);
  file.saved = file.running.sums();
  file.running = {};
  file.buffer = {};
  ::close(std::exchange(file.descriptor, -1));
}

void StagedFolder::discard(const std::string& name) {
  files_.erase(name);
  discarded_.push_back(name);
}

void StagedFolder::save(const Json& state) {
  for (const auto& [name, file] : files_)
    if (file->descriptor >= 0) sync(name, *file);
  const Json progress{{"identity", *identity_}, {"state", state}, {"files", sums()}};
  write_file_atomically(staged(kProgress), json_line(progress) + "\n");
  for (const std::string& name : std::exchange(discarded_, {}))
    if (!has(name)) fs::remove(staged(name));
}

std::map<std::string, BlockChecksums> StagedFolder::sums() {
  std::map<std::string, BlockChecksums> sums;
  for (const auto& [name, file] : files_) sums[name] = file->descriptor >= 0 ? file->running.sums() : file->saved;
  return sums;
}

void StagedFolder::publish(const Json& manifest) {
  for (const auto& [name, file] : files_) close(name);
  for (const std::string& name : std::exchange(discarded_, {}))
    if (!has(name)) fs::remove(staged(name));
  write_file_atomically(staged(kOutputManifest), json_page(manifest));
  move_into_place(staging_, folder_);
}

}  // namespace millrace
