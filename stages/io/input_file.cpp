#include "stages/io/input_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace millrace {
namespace {

[[noreturn]] void fail(const std::string& path, int error) {
  throw std::system_error(error, std::generic_category(), path);
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  // Opening a FIFO would wait for its other end, and a device might do something.
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) fail(path, errno);
  if (S_ISDIR(info.st_mode)) fail(path, EISDIR);
  if (!S_ISREG(info.st_mode)) fail(path + " is a FIFO, socket or device, not a regular file", ENOTSUP);
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) fail(path, errno);
  if (::fstat(descriptor_, &info) != 0) {
    const int failed = errno;
    ::close(descriptor_);
    fail(path, failed);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
}

std::unique_ptr<InputFile> InputFile::standard_input() {
  std::unique_ptr<InputFile> input(new InputFile());
  input->path_ = "standard input";
  input->is_stream_ = true;
  input->descriptor_ = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  if (input->descriptor_ < 0) fail(input->path_, errno);
  return input;
}

std::unique_ptr<InputFile> InputFile::stream(const std::string& path) {
  std::unique_ptr<InputFile> input(new InputFile());
  input->path_ = path;
  input->is_stream_ = true;
  input->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (input->descriptor_ < 0) fail(path, errno);
  return input;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::View InputFile::peek(std::size_t wanted) {
  if (buffer_.empty()) buffer_.resize(kMostPeeked);
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
  if (position <= fetched_ && fetched_ - position <= end_) {
    begin_ = end_ - static_cast<std::size_t>(fetched_ - position);
    return;
  }
  begin_ = end_ = 0;
  fetched_ = position;
}

double InputFile::share_read() const {
  if (is_stream_) return 0;
  return size_ == 0 ? 1 : std::min(1.0, static_cast<double>(position()) / static_cast<double>(size_));
}

std::size_t InputFile::read(char* into, std::size_t capacity) {
  const std::size_t peeked = std::min(capacity, end_ - begin_);
  if (peeked > 0) std::memcpy(into, buffer_.data() + begin_, peeked);  // Before the first peek there is no buffer.
  begin_ += peeked;
  return peeked > 0 ? peeked : fetch(into, capacity);
}

/// Reads the bytes after the buffered ones. Of standard input only what is available, to avoid waiting for more than is
/// needed.
std::size_t InputFile::fetch(char* into, std::size_t capacity) {
  std::size_t got = 0;
  if (is_stream_) {
    ssize_t count = -1;
    do {
      count = ::read(descriptor_, into, capacity);
    } while (count < 0 && errno == EINTR);
    if (count < 0) fail(path_, errno);
    got = static_cast<std::size_t>(count);
  } else {
    got = read_at(fetched_, into, capacity);
  }
  if (watcher_ && got > 0) watcher_(fetched_, into, got);
  fetched_ += got;
  return got;
}

std::size_t InputFile::read_at(std::uint64_t offset, char* into, std::size_t capacity) const {
  if (is_stream_) return 0;
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

bool names_standard_input(const std::string& path) {
  static constexpr std::array<std::string_view, 4> kNames{"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"};
  return std::ranges::find(kNames, path) != kNames.end();
}

}  // namespace millrace
