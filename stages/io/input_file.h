#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// A file read sequentially through a small buffer, with random reads as well. One object, one thread. Reads that fail
/// throw std::system_error with the path: a directory, a vanished disk, a missing permission.
class InputFile {
 public:
  /// Throws std::system_error also for a FIFO, socket or device, without waiting for it.
  explicit InputFile(const std::string& path);
  /// Standard input (descriptor 0), read once, sequentially: no random reads, and seek() works only within the buffer.
  static std::unique_ptr<InputFile> standard_input();
  /// A file, FIFO or device likewise. Opening a FIFO waits for its writer.
  static std::unique_ptr<InputFile> stream(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Size when opened; of standard input the bytes received so far.
  std::uint64_t size() const { return is_stream_ ? fetched_ : size_; }
  bool is_stream() const { return is_stream_; }

  /// Buffered unread bytes, at least `wanted` of them unless the file ends first. Valid until the next call. REQUIRES:
  /// wanted <= kMostPeeked.
  struct View {
    const char* data;
    std::size_t size;
  };
  static constexpr std::size_t kMostPeeked = 256 << 10;
  View peek(std::size_t wanted = 1);
  /// Marks bytes of the last peek as read.
  void consume(std::size_t bytes) { begin_ += bytes; }
  /// Offset in the file of the first unread byte.
  std::uint64_t position() const { return fetched_ - (end_ - begin_); }
  void seek(std::uint64_t position);
  /// position() / size(); 1 for an empty file, 0 for standard input.
  double share_read() const;

  /// Called with all bytes that peek and read fetch from the file from then on.
  using Watcher = std::function<void(std::uint64_t offset, const char* data, std::size_t bytes)>;
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  /// Takes the buffered bytes first, then reads directly into `into`, bypassing the buffer.
  std::size_t read(char* into, std::size_t capacity);
  /// Reads at `offset` without moving the position; fewer bytes than asked only at the file's end. Of standard input:
  /// nothing.
  std::size_t read_at(std::uint64_t offset, char* into, std::size_t capacity) const;

 private:
  InputFile() = default;
  std::size_t fetch(char* into, std::size_t capacity);

  std::string path_;
  int descriptor_ = -1;
  bool is_stream_ = false;
  std::uint64_t size_ = 0;
  std::uint64_t fetched_ = 0;  // File offset behind the buffered bytes.
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  Watcher watcher_;
};

/// True for "-", "/dev/stdin" and the like.
bool names_standard_input(const std::string& path);

}  // namespace millrace
