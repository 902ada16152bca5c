#include "stages/io/disk.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "stages/errors.h"

namespace millrace {

namespace fs = std::filesystem;

void disk_failure(const fs::path& path, int error, const char* what) {
  const bool is_full = error == ENOSPC || error == EFBIG || error == EDQUOT;
  const char* advice = is_full ? "; make room there" : "";
  throw std::system_error(error, std::generic_category(), fmt::format("{}: {}{}", path.string(), what, advice));
}

fs::path through_links(const fs::path& path) {
  constexpr int kMostLinks = 40;  // As Linux.
  fs::path at = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    std::error_code error;
    if (!fs::is_symlink(at, error)) return at;
    // A target without a path of its own (a pipe under /dev/stdout) is reached only through its link.
    const fs::file_status there = fs::status(at, error);
    if (fs::exists(there) && !fs::is_regular_file(there) && !fs::is_directory(there)) return at;
    // /dev/stdout redirected to a file: replacing that file would not write to the process's output.
    if (fs::weakly_canonical(at.parent_path(), error).string().starts_with("/proc/"))
      disk_failure(path, EINVAL, "leads to a file that is open already; name the file itself");
    fs::path target = fs::read_symlink(at, error);
    if (error) disk_failure(at, error.value(), "cannot read the link");
    at = target.is_absolute() ? std::move(target) : at.parent_path() / target;
  }
  disk_failure(path, ELOOP, "cannot follow the link");
}

void write_all(int descriptor, const fs::path& path, std::string_view bytes) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // Linux writes at most 2 GiB a call.
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMost));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // A terminal or pipe that another process made non-blocking.
      pollfd ready{descriptor, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0) disk_failure(path, errno, "cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

bool is_wrong_path(const std::error_code& error) {
  for (const std::errc wrong :
       {std::errc::no_such_file_or_directory, std::errc::not_a_directory, std::errc::is_a_directory,
        std::errc::permission_denied, std::errc::operation_not_permitted, std::errc::too_many_symbolic_link_levels,
        std::errc::filename_too_long})
    if (error == wrong) return true;
  return false;
}

bool is_impossible_path(const std::error_code& error) {
  return error == std::errc::too_many_symbolic_link_levels || error == std::errc::filename_too_long;
}

bool synced(int descriptor) {
  while (::fsync(descriptor) != 0)
    if (errno != EINTR) return false;
  return true;
}

void sync_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) disk_failure(path, errno, "cannot open to sync");
  const int error = synced(descriptor) ? 0 : errno;
  ::close(descriptor);
  // Some file systems cannot sync folders.
  if (error != 0 && error != EINVAL) disk_failure(path, error, "cannot sync");
}

int lock_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  if (descriptor >= 0) ::close(descriptor);
  throw ConfigError(fmt::format("{}: another process is writing there", folder.string()));
}

}  // namespace millrace
