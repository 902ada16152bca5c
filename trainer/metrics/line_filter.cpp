#include "trainer/metrics/line_filter.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>

#include <fcntl.h>
#include <unistd.h>

#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = std::size_t{1} << 20;

/// Whole lines of an open file, without their ends.
class LineReader {
 public:
  LineReader(const fs::path& path, int descriptor)
      : path_(path), descriptor_(descriptor), block_(std::make_unique_for_overwrite<char[]>(kBlock)) {}
  ~LineReader() { ::close(descriptor_); }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool next(std::string& line) {
    line.clear();
    bool too_long = false;
    for (;;) {
      if (at_ == end_ && !fill()) return false;
      const char* found = std::find(at_, end_, '\n');
      too_long = too_long || line.size() + static_cast<std::size_t>(found - at_) > kLongestLogLine;
      if (too_long) {
        line.clear();
      } else {
        line.append(at_, found);
      }
      const bool is_whole = found != end_;
      at_ = is_whole ? found + 1 : end_;
      if (is_whole && !too_long) return true;
      if (is_whole) too_long = false;
    }
  }

 private:
  bool fill() {
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, block_.get(), kBlock);
    } while (count < 0 && errno == EINTR);
    if (count < 0) disk_failure(path_, errno, "cannot read");
    at_ = block_.get();
    end_ = at_ + count;
    return count > 0;
  }

  const fs::path& path_;
  int descriptor_;
  std::unique_ptr<char[]> block_;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

}  // namespace

void keep_lines(const fs::path& path, const std::function<bool(const std::string&)>& keep) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return;
  if (descriptor < 0) disk_failure(path, errno, "cannot open");
  LineReader lines(path, descriptor);
  AtomicFile file(path);
  std::string waiting;
  for (std::string line; lines.next(line);) {
    if (!keep(line)) continue;
    waiting += line;
    waiting += '\n';
    if (waiting.size() < kBlock) continue;
    file.write(waiting);
    waiting.clear();
  }
  file.write(waiting);
  file.commit();
}

}  // namespace millrace
