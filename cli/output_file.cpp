#include "cli/output_file.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "stages/errors.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& path, int error) {
  throw std::system_error(error, std::generic_category(), path.string());
}

fs::path temporary_name(const fs::path& file) {
  return file.parent_path() / fmt::format(".{}.{}.tmp", file.filename().string(), ::getpid());
}

int open_temporary(const fs::path& file) {
  const auto refuse = [&file](int error) {
    throw ConfigError(fmt::format("cannot write {}: {}", file.string(), std::generic_category().message(error)));
  };
  std::error_code ignored;
  if (!file.has_filename() || fs::is_directory(file, ignored)) refuse(EISDIR);
  const int descriptor = ::open(temporary_name(file).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) refuse(errno);
  return descriptor;
}

void write_all(int descriptor, const fs::path& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(descriptor) != 0) fail(path, errno);
}

}  // namespace

void make_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw ConfigError(fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
}

void write_atomically(const fs::path& file, std::string_view bytes) {
  const fs::path temporary = temporary_name(file);
  const int descriptor = open_temporary(file);
  try {
    write_all(descriptor, file, bytes);
    ::close(descriptor);
    if (::rename(temporary.c_str(), file.c_str()) != 0) fail(file, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  flush_to_disk(file.has_parent_path() ? file.parent_path() : fs::path("."));
}

void require_writable(const fs::path& file) {
  ::close(open_temporary(file));
  ::unlink(temporary_name(file).c_str());
}

void flush_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, errno);
  const int error = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  // Some file systems have no fsync for folders.
  if (error != 0 && error != EINVAL) fail(path, error);
}

PartialFolder::PartialFolder(fs::path target) : target_(std::move(target)), partial_(target_.string() + ".partial") {
  std::error_code error;
  fs::remove_all(partial_, error);
  if (error) throw ConfigError(fmt::format("cannot remove {}: {}", partial_.string(), error.message()));
  make_folder(partial_);
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void PartialFolder::publish() {
  flush_to_disk(partial_);
  fs::remove_all(target_);
  fs::rename(partial_, target_);
}

}  // namespace millrace
