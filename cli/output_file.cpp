#include "cli/output_file.h"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stages/atomic_file.h"
#include "stages/disk.h"
#include "stages/errors.h"

namespace millrace {
namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw ConfigError(fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
}

void write_atomically(const fs::path& file, std::string_view bytes) {
  require_writable(file);
  write_file_atomically(file, bytes);
}

void require_writable(const fs::path& file) {
  const auto refuse = [&file](const std::error_code& error) {
    throw ConfigError(fmt::format("cannot write {}: {}", file.string(), error.message()));
  };
  std::error_code ignored;
  if (!file.has_filename() || fs::is_directory(file, ignored)) refuse(std::make_error_code(std::errc::is_a_directory));
  try {
    const AtomicFile tried(file);
  } catch (const std::system_error& error) {
    refuse(error.code());
  }
}

PartialFolder::PartialFolder(fs::path target) : target_(std::move(target)), partial_(target_.string() + ".partial") {
  std::error_code error;
  fs::remove_all(partial_, error);
  if (error) throw ConfigError(fmt::format("cannot remove {}: {}", partial_.string(), error.message()));
  make_folder(partial_);
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

void PartialFolder::publish() {
  sync_to_disk(partial_);
  fs::remove_all(target_);
  fs::rename(partial_, target_);
}

}  // namespace millrace
