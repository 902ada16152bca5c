#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// A file read from front to back through a small buffer, with random reads beside it. One object, one thread.
/// Reads that fail throw std::system_error with the path: a directory, a vanished disk, a missing permission.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size() const { return size_; }  ///< When it was opened.

  /// Unread bytes at hand, at least `wanted` of them unless the file ends before. Valid until the next call.
  struct View {
    const char* data;
    std::size_t size;
  };
  View peek(std::size_t wanted = 1);
  /// Marks bytes of the last peek as read.
  void consume(std::size_t bytes) { begin_ += bytes; }
  /// Offset in the file of the first unread byte.
  std::uint64_t position() const { return fetched_ - (end_ - begin_); }
  void seek(std::uint64_t position);
  /// position() / size(); 1 for an empty file.
  double share_read() const;

  /// Shown what peek and read take from the file, from then on.
  using Watcher = std::function<void(std::uint64_t offset, const char* data, std::size_t bytes)>;
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  /// Reads past the buffer, straight into `into`. REQUIRES: nothing is peeked.
  std::size_t read(char* into, std::size_t capacity);
  /// Reads at `offset` without moving the position; fewer bytes than asked only at the file's end.
  std::size_t read_at(std::uint64_t offset, char* into, std::size_t capacity) const;

 private:
  std::size_t fetch(char* into, std::size_t capacity);

  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t fetched_ = 0;  // File offset behind the buffered bytes.
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Watcher watcher_;
};

}  // namespace millrace
