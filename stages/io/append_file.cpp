#include "stages/io/append_file.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "stages/io/disk.h"

namespace millrace {

AppendFile::AppendFile(std::filesystem::path path, Tell tell) : path_(std::move(path)), tell_(std::move(tell)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) disk_failure(path_, errno, "cannot open");
}

AppendFile::~AppendFile() {
  write_waiting();
  ::close(descriptor_);
}

void AppendFile::append(std::string_view text) {
  // Drop only whole texts, never the rest of a text that is partly written.
  if (waiting_.size() + text.size() <= kMostWaiting) waiting_ += text;
  if (!write_waiting()) tell_once("cannot write", errno);
}

void AppendFile::sync() const {
  if (synced(descriptor_) || errno == EINVAL || errno == EROFS) return;  // Pipes and devices have nothing to sync.
  tell_once("cannot sync", errno);
}

bool AppendFile::write_waiting() {
  std::size_t at = 0;
  bool taken = true;
  while (taken && at < waiting_.size()) {
    const ssize_t written = ::write(descriptor_, waiting_.data() + at, waiting_.size() - at);
    if (written > 0) at += static_cast<std::size_t>(written);
    taken = written >= 0 || errno == EINTR;
  }
  const int reason = errno;
  waiting_.erase(0, at);
  errno = reason;
  return taken;
}

void AppendFile::tell_once(const char* what, int error) const {
  if (told_.exchange(true)) return;
  tell_(fmt::format(
      "{}: {}: {}. The run goes on: what is not taken waits in memory and is tried again; make room, or it is lost "
      "when the run ends",
      path_.string(), what, std::generic_category().message(error)));
}

}  // namespace millrace
