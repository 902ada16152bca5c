#include "stages/parquet/sql_file.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "stages/parquet/duckdb_session.h"
#include "stages/utf8.h"

namespace millrace {

SqlFile::SqlFile(const std::string& path) : literal_(sql_string(path)) {
  const bool is_plain = path.find_first_of("*?[") == std::string::npos && !path.starts_with('~') &&
                        path.find("://") == std::string::npos && is_utf8(path) && !path.starts_with("file:");
  if (is_plain) return;
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), path);
  literal_ = sql_string("/proc/self/fd/" + std::to_string(descriptor_));
}

SqlFile::~SqlFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace millrace
