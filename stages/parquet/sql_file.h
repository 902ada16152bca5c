#pragma once

#include <string>

namespace millrace {

/// A file under a name that DuckDB reads literally. DuckDB would expand patterns, "~" and URLs in a path: a file with
/// such a path is kept open and named by its descriptor.
class SqlFile {
 public:
  /// Throws std::system_error if it cannot be opened.
  explicit SqlFile(const std::string& path);
  ~SqlFile();
  SqlFile(const SqlFile&) = delete;
  SqlFile& operator=(const SqlFile&) = delete;

  /// The name as an SQL literal. REQUIRES: used in this process, while the object exists.
  const std::string& literal() const { return literal_; }
  /// The name will later belong to another file: do not cache anything under it.
  bool is_passing() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
  std::string literal_;
};

}  // namespace millrace
