#pragma once

#include <cstdlib>
#include <filesystem>

namespace millrace {

/// The folder of real shards and vocabularies; it may be missing.
inline std::filesystem::path shared_folder() {
  const char* named = std::getenv("MILLRACE_SHARED");
  return named != nullptr ? std::filesystem::path(named) : std::filesystem::path(MILLRACE_SOURCE_DIR) / "../shared";
}

}  // namespace millrace

/// Skips a test if the folder has no `path`.
#define MILLRACE_SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there; MILLRACE_SHARED names another place"
