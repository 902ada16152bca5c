#include "stages/io/output_file.h"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& out, const std::string& why) {
  throw ConfigError(fmt::format("cannot write {}: {}", out.string(), why));
}

/// A device, a pipe or a socket.
bool is_stream(const fs::path& path) {
  std::error_code missing;
  const fs::file_status there = fs::status(path, missing);
  return fs::exists(there) && !fs::is_regular_file(there) && !fs::is_directory(there);
}

/// Waits until somebody reads the pipe. Throws Interrupted.
int open_stream(const fs::path& stream, const std::function<bool()>& interrupted) {
  constexpr int kWait = 50;  // Milliseconds.
  while (true) {
    const int descriptor = ::open(stream.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor >= 0) {
      ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
      return descriptor;
    }
    std::error_code error(errno, std::generic_category());
    if (error != std::errc::no_such_device_or_address || !fs::is_fifo(stream)) refuse(stream, error.message());
    if (interrupted()) throw Interrupted();
    ::poll(nullptr, 0, kWait);
  }
}

void write_stream(const fs::path& stream, std::string_view bytes, const std::function<bool()>& interrupted) {
  const int descriptor = open_stream(stream, interrupted);
  try {
    write_all(descriptor, stream, bytes);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
}

}  // namespace

void require_name(const fs::path& out) {
  struct stat there {};
  if (::stat(out.c_str(), &there) == 0 || errno == ENOENT) return;
  const std::error_code error(errno, std::generic_category());
  if (is_wrong_path(error)) refuse(out, error.message());
}

void make_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw ConfigError(fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
}

void require_empty_folder(const fs::path& folder, std::string_view option) {
  if (!fs::exists(folder)) return;
  if (!fs::is_directory(folder)) throw ConfigError(fmt::format("{}{}: is no folder", option, folder.string()));
  if (!fs::is_empty(folder))
    throw ConfigError(
        fmt::format("{}{}: not empty; choose another folder, or remove what is there", option, folder.string()));
}

void require_writable(const fs::path& out, OutputKind kind) {
  const auto is_a_directory = std::make_error_code(std::errc::is_a_directory);
  if (!out.has_filename()) refuse(out, is_a_directory.message());
  require_name(out);
  if (is_stream(out)) {
    if (kind == OutputKind::file) refuse(out, "it is a device or a pipe, expected a file");
    if (::access(out.c_str(), W_OK) != 0) refuse(out, std::generic_category().message(errno));
    return;
  }
  try {
    const AtomicFile tried(out);
  } catch (const std::system_error& error) {
    throw ConfigError(error.what());
  }
}

void write_output(const fs::path& out, OutputKind kind, std::string_view bytes,
                  const std::function<bool()>& interrupted) {
  require_writable(out, kind);
  is_stream(out) ? write_stream(out, bytes, interrupted) : write_file_atomically(out, bytes);
}

AtomicFolder::AtomicFolder(const fs::path& target) : target_(through_links(fs::absolute(target))) {
  partial_ = target_.parent_path() / fmt::format(".{}.unfinished", target_.filename().string());
  make_folder(partial_);
  lock_ = lock_folder(partial_);
  std::error_code error;
  if (!fs::exists(target_) && fs::exists(replaced())) fs::rename(replaced(), target_, error);
  if (error) throw ConfigError(fmt::format("cannot rename {} back: {}", replaced().string(), error.message()));
  for (const fs::directory_entry& left : fs::directory_iterator(partial_)) fs::remove_all(left, error);
  if (error) throw ConfigError(fmt::format("cannot remove what is in {}: {}", partial_.string(), error.message()));
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!partial_.empty()) fs::remove_all(partial_, ignored);
  ::close(lock_);
}

fs::path AtomicFolder::replaced() const {
  return target_.parent_path() / fmt::format(".{}.replaced", target_.filename().string());
}

void AtomicFolder::publish() {
  const bool replaces = fs::exists(target_);
  if (replaces) fs::permissions(partial_, fs::status(target_).permissions());
  sync_to_disk(partial_);
  if (replaces) {
    fs::remove_all(replaced());
    fs::rename(target_, replaced());
  }
  fs::rename(partial_, target_);
  try {
    sync_to_disk(target_.has_parent_path() ? target_.parent_path() : ".");
  } catch (...) {
    // Whether the name lasts is not known: it is taken back, so that the same command can be run again.
    std::error_code ignored;
    fs::rename(target_, partial_, ignored);
    if (replaces) fs::rename(replaced(), target_, ignored);
    throw;
  }
  partial_.clear();
  fs::remove_all(replaced());
}

}  // namespace millrace
