#include "stages/disk.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

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

void write_all(int descriptor, const fs::path& path, std::string_view bytes) {
  constexpr std::size_t kMost = std::size_t{1} << 30;  // Linux writes at most 2 GiB a call.
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMost));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // A terminal or pipe that somebody else made not to wait.
      pollfd ready{descriptor, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (written < 0) disk_failure(path, errno, "cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) disk_failure(path, errno, "cannot open to sync");
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
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
