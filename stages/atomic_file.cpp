#include "stages/atomic_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "stages/disk.h"

namespace millrace {

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  temporary_ += fmt::format(".{}.tmp", ::getpid());
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) disk_failure(temporary_, errno, "cannot create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view text) {
  write_all(descriptor_, temporary_, text);
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) disk_failure(temporary_, errno, "cannot sync");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    disk_failure(path_, errno, "cannot rename the temporary file to this name");
  ::close(std::exchange(descriptor_, -1));
  sync_to_disk(path_.has_parent_path() ? path_.parent_path() : ".");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace millrace
