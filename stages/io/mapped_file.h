#pragma once

#include <cstddef>
#include <filesystem>

namespace millrace {

/// A whole file mapped for reading. Views into it live as long as the object.
class MappedFile {
 public:
  /// Throws ConfigError if the path is wrong, std::system_error if the disk fails; both with the path.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace
