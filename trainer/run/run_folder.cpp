#include "trainer/run/run_folder.h"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunText = "run.toml";
constexpr const char* kVocabulary = "vocab.model";
constexpr const char* kIdentity = "run.json";
constexpr const char* kShards = "shards.jsonl";
constexpr const char* kChanges = "changes.jsonl";
constexpr const char* kStop = "stop";
constexpr const char* kLock = ".lock";

/// Empty if there is no such file.
std::string read(const fs::path& path) {
  return fs::exists(path) ? read_whole_file(path) : "";
}

/// "2026-11-26T22:31:45Z"
std::string now_in_utc() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

/// Creates and locks the folder. Returns the lock's descriptor.
int lock_run(const fs::path& path) {
  std::error_code error;
  fs::create_directories(through_links(path), error);
  if (error) throw ConfigError(fmt::format("run folder {}: cannot create it: {}", path.string(), error.message()));
  const fs::path file = path / kLock;
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    const std::error_code reason(errno, std::generic_category());
    throw ConfigError(fmt::format("run folder {}: cannot write to it: {}", path.string(), reason.message()));
  }
  // Others take the lock for an instant to see whether it is held.
  bool locked = false;
  for (int attempt = 0; attempt < 10 && !locked; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  }
  if (!locked) {
    ::close(descriptor);
    throw ConfigError(fmt::format("run folder {}: another process is training in it", path.string()));
  }
  return descriptor;
}

/// Removes temporary files that AtomicFile left behind when a process was killed. REQUIRES: the lock.
void remove_temporary_files(const fs::path& folder) {
  std::vector<fs::path> left;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && is_temporary_name(entry.path().filename().string())) left.push_back(entry.path());
  for (const fs::path& file : left) fs::remove(file);
}

}  // namespace

std::string run_hash(const RunFiles& texts) {
  std::string all;
  for (const auto& [name, text] : texts) all += fmt::format("{}\n{}\n{}", name, text.size(), text);
  return fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
}

RunFolder::RunFolder(fs::path path, const RunFiles& texts, const fs::path& vocabulary,
                     const std::string& vocabulary_hash, const Options& options)
    : path_(std::move(path)) {
  const bool begun = holds_run(path_);
  if (begun && !options.resume) {
    throw ConfigError(
        fmt::format("run folder {} holds a run already: resume it with --resume, or choose another folder "
                    "with --run-dir",
                    path_.string()));
  }
  lock_ = lock_run(path_);
  fs::remove(path_ / kStop);
  try {
    remove_temporary_files(path_);
    if (begun) {
      check_same(vocabulary_hash, options);
      if (changes_.asked.empty() && changes_.free.empty()) keep_shards(options.shards);
    } else {
      write_file_atomically(shards_file(path_), options.shards);
      origin_ = options.origin;
      begin(texts, vocabulary, vocabulary_hash);
    }
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  ::close(lock_);
}

void RunFolder::begin(const RunFiles& texts, const fs::path& vocabulary, const std::string& vocabulary_hash) {
  Json identity{{"run_hash", run_hash(texts)}, {"vocabulary_hash", vocabulary_hash}};
  add_origin(identity, origin_);
  write_file_atomically(path_ / kVocabulary, read(vocabulary));
  write_file_atomically(path_ / kIdentity, json_line(identity) + "\n");
  write_texts(texts);
}

void RunFolder::check_same(const std::string& vocabulary_hash, const Options& options) {
  const JsonValue identity = JsonValue::read(path_ / kIdentity, "begin a new run");
  if (identity.get<std::string>("vocabulary_hash") != vocabulary_hash)
    identity.at("vocabulary_hash")
        .fail(
            fmt::format("is not {}: the run was begun with another vocabulary, in which token ids have other meanings",
                        vocabulary_hash));
  origin_ = read_origin(identity);
  if (!options.origin.checkpoint.empty() && options.origin != origin_)
    throw ConfigError(fmt::format("run folder {}: the run was begun with {}; --from cannot make that {}",
                                  path_.string(), origin_.text(), options.origin.text()));
  changes_ = options.changes();
  if (changes_.asked.empty() || options.accept_changes) return;
  throw ConfigError(fmt::format(
      "run folder {}: the run differs from the one that was begun:\n  {}\nTo resume it with these changes, add "
      "--accept-changes",
      path_.string(), fmt::join(changes_.asked, "\n  ")));
}

void RunFolder::keep_changes(const RunFiles& texts, const std::string& shards, std::uint64_t step) {
  const Json change{{"step", step},
                    {"time", now_in_utc()},
                    {"run_hash", run_hash(texts)},
                    {"changes", changes_.asked},
                    {"free", changes_.free}};
  write_file_atomically(path_ / kChanges, read(path_ / kChanges) + json_line(change) + "\n");
  keep_shards(shards);
  write_texts(texts);
}

void RunFolder::keep_shards(const std::string& shards) {
  if (read(shards_file(path_)) != shards) write_file_atomically(shards_file(path_), shards);
}

void RunFolder::write_texts(const RunFiles& texts) {
  const auto write = [&](const std::string& name, const std::string& text) {
    fs::create_directories((path_ / name).parent_path());
    write_file_atomically(path_ / name, text);
  };
  for (const auto& [name, text] : texts)
    if (name != kRunText) write(name, text);
  for (const auto& [name, text] : texts)
    if (name == kRunText) write(name, text);
}

void ask_to_stop(const fs::path& run_folder) {
  write_file_atomically(run_folder / kStop, "");
}

bool is_asked_to_stop(const fs::path& run_folder) {
  std::error_code none;
  return fs::exists(run_folder / kStop, none);
}

bool is_held(const fs::path& run_folder) {
  const int lock = ::open((run_folder / kLock).c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return false;
  const bool held = ::flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(lock);
  return held;
}

bool holds_run(const fs::path& run_folder) {
  return fs::exists(run_folder / kRunText);
}

fs::path shards_file(const fs::path& run_folder) {
  return run_folder / kShards;
}

fs::path vocabulary_beside(const fs::path& checkpoint) {
  const fs::path folder = fs::absolute(checkpoint).lexically_normal();
  const fs::path here = folder.filename().empty() ? folder.parent_path() : folder;
  for (const fs::path& place : {here, here.parent_path().parent_path()})
    if (fs::exists(place / kVocabulary)) return place / kVocabulary;
  return {};
}

}  // namespace millrace
