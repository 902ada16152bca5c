#include "stages/input_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

[[noreturn]] void fail(const std::string& path, int error) {
  throw std::system_error(error, std::generic_category(), path);
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail(path, errno);
  struct stat info {};
  const int failed = ::fstat(descriptor_, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : 0;
  if (failed != 0) {
    ::close(descriptor_);
    fail(path, failed);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

InputFile::~InputFile() {
  ::close(descriptor_);
}

InputFile::View InputFile::peek(std::size_t wanted) {
  if (buffer_.empty()) buffer_.resize(kBufferBytes);
  if (end_ - begin_ < wanted) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    while (end_ < wanted) {
      const std::size_t got = fetch(buffer_.data() + end_, buffer_.size() - end_);
      if (got == 0) break;
      end_ += got;
    }
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

void InputFile::seek(std::uint64_t position) {
  begin_ = end_ = 0;
  fetched_ = position;
}

double InputFile::share_read() const {
  return size_ == 0 ? 1 : std::min(1.0, static_cast<double>(position()) / static_cast<double>(size_));
}

std::size_t InputFile::read(char* into, std::size_t capacity) {
  return fetch(into, capacity);
}

std::size_t InputFile::fetch(char* into, std::size_t capacity) {
  const std::size_t got = read_at(fetched_, into, capacity);
  if (watcher_ && got > 0) watcher_(fetched_, into, got);
  fetched_ += got;
  return got;
}

std::size_t InputFile::read_at(std::uint64_t offset, char* into, std::size_t capacity) const {
  std::size_t filled = 0;
  while (filled < capacity) {
    const ssize_t got = ::pread(descriptor_, into + filled, capacity - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

}  // namespace millrace
