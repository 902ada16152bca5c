#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "trainer/weights/tensor_files.h"

namespace millrace {

/// What a checkpoint's manifest vouches for of a file.
struct FileSum {
  std::string name;
  std::uint64_t bytes = 0;
  std::string xxh3;  ///< xxh3_64, 16 hexadecimal digits.

  bool operator==(const FileSum&) const = default;
};

/// Of a file's content. Reads it instead of mapping it: a bad sector is then a read error, for which a checkpoint is
/// skipped, and not SIGBUS. Throws std::system_error.
FileSum sum_of(const std::filesystem::path& path);

/// Writes a file of tensors that are in memory into `folder`, atomically, and tells what was written. Throws as
/// disk_failure.
FileSum write_summed(const std::filesystem::path& folder, const TensorFile& file);

}  // namespace millrace
