#pragma once

#include <cstdint>

namespace millrace {

/// Bytes of memory that the process holds now; 0 where the system does not say.
std::uint64_t resident_memory();

/// The most it ever held.
std::uint64_t peak_memory();

}  // namespace millrace
