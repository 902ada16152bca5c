#include "stages/io/atomic_file.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stages/io/disk.h"

namespace millrace {

namespace {

constexpr std::string_view kBegin = ".millrace-";
constexpr std::string_view kEnd = ".tmp";

std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<std::uint64_t> number = 0;
  return path.parent_path() / fmt::format("{}{}-{}{}", kBegin, ::getpid(), number++, kEnd);
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(through_links(path)) {
  std::error_code missing;
  const std::filesystem::file_status there = std::filesystem::status(path_, missing);
  // No file can have this name: fail now, not after everything is written.
  if (there.type() == std::filesystem::file_type::none) disk_failure(path_, missing.value(), "cannot write");
  if (std::filesystem::is_directory(there)) disk_failure(path_, EISDIR, "cannot write");
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
    disk_failure(path_, EINVAL, "is no regular file, and none is put in its place");
  do {  // A killed process with the same id may have left a file of this name: try the next one.
    temporary_ = temporary_beside(path_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) disk_failure(path_, errno, "cannot create");
  constexpr mode_t kPermissions = 0777;
  struct stat replaced {};
  if (::stat(path_.c_str(), &replaced) != 0 || ::fchmod(descriptor_, replaced.st_mode & kPermissions) == 0) return;
  const int error = errno;
  give_up();
  disk_failure(path_, error, "cannot give a new file the permissions of");
}

AtomicFile::~AtomicFile() {
  give_up();
}

void AtomicFile::give_up() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) {
  write_all(descriptor_, temporary_, text);
}

void AtomicFile::commit() {
  if (!synced(descriptor_)) disk_failure(temporary_, errno, "cannot sync");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    disk_failure(path_, errno, "cannot rename the temporary file to this name");
  ::close(std::exchange(descriptor_, -1));
  sync_to_disk(path_.has_parent_path() ? path_.parent_path() : ".");
}

bool is_temporary_name(std::string_view name) {
  return name.starts_with(kBegin) && name.ends_with(kEnd);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace millrace
