#pragma once

#include <cstddef>

namespace millrace {

/// Throws std::runtime_error unless the process may open this many more files (`ulimit -n`).
void require_open_files(std::size_t files);

}  // namespace millrace
