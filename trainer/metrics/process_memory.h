#pragma once

#include <cstdint>

namespace millrace {

/// Resident memory of the process now, in bytes; 0 if the system does not report it.
std::uint64_t resident_memory();

/// Its peak so far.
std::uint64_t peak_memory();

}  // namespace millrace
