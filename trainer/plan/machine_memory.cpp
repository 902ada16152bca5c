#include "trainer/plan/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "trainer/metrics/process_memory.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// A file's first number; nothing if there is none ("max", or no file).
std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream stream(file);
  std::uint64_t number = 0;
  if (!(stream >> number)) return std::nullopt;
  return number;
}

/// The number behind `key` in a file of "key number" lines.
std::uint64_t number_of(const fs::path& file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t number = 0;
    if (words >> name >> number && name == key) return number;
  }
  return 0;
}

/// File names of one cgroup version.
struct CgroupFiles {
  const char* limit;
  const char* usage;
  const char* inactive_files;
  const char* active_files;
};
constexpr CgroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
                                "total_active_file"};
constexpr CgroupFiles kVersion2{"memory.max", "memory.current", "inactive_file", "active_file"};

class Least {
 public:
  void add(std::uint64_t bytes, const std::string& limit) {
    if (bytes < least_.bytes) least_ = {bytes, limit};
  }
  /// The minimum over a cgroup and all its ancestors. In a container the folder of the path may be invisible, and the
  /// container's own cgroup be the root.
  void add_cgroup(const fs::path& mount, const std::string& path, const CgroupFiles& files, std::uint64_t held) {
    fs::path group = path;
    for (;;) {
      const fs::path folder = mount / group.relative_path();
      if (const auto limit = number_in(folder / files.limit)) {
        const fs::path statistics = folder / "memory.stat";
        const std::uint64_t used = number_in(folder / files.usage).value_or(0);
        const std::uint64_t cached =
            number_of(statistics, files.inactive_files) + number_of(statistics, files.active_files);
        const std::uint64_t others = used - std::min(used, cached + held);
        add(*limit - std::min(*limit, others), fmt::format("limit of cgroup {}", group.string()));
      }
      if (!group.has_relative_path()) return;
      group = group.parent_path();
    }
  }
  const MachineMemory& value() const { return least_; }

 private:
  MachineMemory least_{std::numeric_limits<std::uint64_t>::max(), "none"};
};

/// These limits count mapped memory, used or not.
void add_own_limit(Least& least, decltype(RLIMIT_AS) resource, std::uint64_t mapped, std::uint64_t held,
                   const char* name) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const std::uint64_t unused = mapped - std::min(mapped, held);
  least.add(limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, unused), name);
}

}  // namespace

MachineMemory machine_memory(const fs::path& root) {
  const MachineMemory own = own_memory();
  const MachineMemory shared = shared_memory(root);
  return own.bytes < shared.bytes ? own : shared;
}

MachineMemory own_memory() {
  const std::uint64_t held = resident_memory();
  const std::uint64_t mapped =
      number_in("/proc/self/statm").value_or(0) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  Least least;
  add_own_limit(least, RLIMIT_AS, mapped, held, "ulimit -v");
  add_own_limit(least, RLIMIT_DATA, held, held, "ulimit -d");
  return least.value();
}

MachineMemory shared_memory(const fs::path& root) {
  constexpr std::uint64_t kKilobyte = 1024;
  const std::uint64_t held = resident_memory();
  Least least;
  const fs::path meminfo = root / "proc/meminfo";
  if (const std::uint64_t total = number_of(meminfo, "MemTotal:"); total > 0) {
    least.add(total * kKilobyte, "memory of the machine");
    if (const std::uint64_t free = number_of(meminfo, "MemAvailable:"); free > 0)
      least.add(free * kKilobyte + held, "memory available");
  }
  std::ifstream cgroups(root / "proc/self/cgroup");
  for (std::string line; std::getline(cgroups, line);) {  // NUMBER:CONTROLLERS:PATH
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") least.add_cgroup(root / "sys/fs/cgroup", path, kVersion2, held);
    if (controllers.find(",memory,") != std::string::npos)
      least.add_cgroup(root / "sys/fs/cgroup/memory", path, kVersion1, held);
  }
  return least.value();
}

}  // namespace millrace
