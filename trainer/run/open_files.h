#pragma once

#include <cstddef>

namespace millrace {

/// Throws std::runtime_error unless the process may open so many files more than it has open: `ulimit -n`.
void require_open_files(std::size_t files);

}  // namespace millrace
