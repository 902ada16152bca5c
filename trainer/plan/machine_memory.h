#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace millrace {

/// How much this process may hold altogether, what it holds already included.
struct MachineMemory {
  std::uint64_t bytes = 0;
  std::string limit;  ///< What sets it, for a person: "memory available", "limit of cgroup /x", "ulimit -v".
};

/// The least of what the system says is available, what each cgroup above this process leaves (version 1 and 2; file
/// caches count as free), and the process's own limits. `root`: where /proc and /sys are found. Where nothing is
/// known there is no limit.
MachineMemory machine_memory(const std::filesystem::path& root = "/");

}  // namespace millrace
