#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace millrace {

/// How much memory this process may use in total, including what it uses already.
struct MachineMemory {
  std::uint64_t bytes = 0;
  std::string limit;  ///< What sets the limit, for messages: "memory available", "limit of cgroup /x", "ulimit -v".
  std::uint64_t card = 0;  ///< Free bytes of the card that a run computes on; 0: not known, or no card.
  std::string card_name = {};
};

/// The minimum of the memory that the system reports as available, what each cgroup above this process leaves (version
/// 1 and 2; file caches count as free), and the process's own limits. `root`: the folder that holds proc and sys. If
/// nothing is known there is no limit.
MachineMemory machine_memory(const std::filesystem::path& root = "/");

/// Its two halves: what all processes of the machine share, and what this one's own limits leave it.
MachineMemory shared_memory(const std::filesystem::path& root = "/");
MachineMemory own_memory();

}  // namespace millrace
