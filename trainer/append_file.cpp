#include "trainer/append_file.h"

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace millrace {

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot open");
}

AppendFile::~AppendFile() {
  ::close(descriptor_);
}

void AppendFile::append(std::string_view text) {
  waiting_ += text;
  write_waiting();
}

void AppendFile::expect_written() {
  if (!write_waiting()) fail("cannot write");
}

void AppendFile::sync() const {
  if (::fsync(descriptor_) != 0) fail("cannot sync");
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

void AppendFile::fail(const char* what) const {
  throw std::system_error(errno, std::generic_category(), path_.string() + ": " + what);
}

}  // namespace millrace
