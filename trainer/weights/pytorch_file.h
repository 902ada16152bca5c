#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "stages/compression/zip_archive.h"
#include "stages/io/mapped_file.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// A file that torch.save (PyTorch 1.6 or later) wrote of a dict from names to tensors, mapped: a zip archive with a
/// pickle, data.pkl, and a file for each tensor's numbers. Nothing in it is run: of the pickle only the names that
/// describe tensors are known, every other is refused. Views live as long as the object; any thread may read them.
class PyTorchFile {
 public:
  /// Throws ConfigError with the file, and the byte or the tensor, if it is no such file, is damaged, asks for other
  /// names, holds anything but tensors, two of one name, or one that is not row-major; std::system_error if it cannot
  /// be read.
  explicit PyTorchFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// In the order of the dict.
  const std::vector<TensorView>& tensors() const { return tensors_; }

  /// Compares the tensors' bytes with the archive's checksums. `checked` is told of each piece how many bytes it had,
  /// and may throw. Throws ConfigError with the file and the byte where the damaged part begins.
  void check(const std::function<void(std::uint64_t)>& checked) const;
  std::uint64_t bytes() const;  ///< That check() reads.

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<ZipEntry> entries_;  ///< Those that tensors lie in.
  std::vector<TensorView> tensors_;
};

}  // namespace millrace
