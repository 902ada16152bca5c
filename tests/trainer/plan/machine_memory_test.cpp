#include "trainer/plan/machine_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "trainer/metrics/process_memory.h"

namespace millrace {
namespace {

constexpr std::uint64_t kGigabyte = std::uint64_t{1} << 30;

/// A fake /proc and /sys of a machine with 64 GB, of which 40 are available.
class MachineMemoryTest : public testing::Test {
 protected:
  MachineMemoryTest() { put("proc/meminfo", "MemTotal: 67108864 kB\nMemFree: 1 kB\nMemAvailable:   41943040 kB\n"); }

  void put(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    write_text(folder_.path() / file, text);
  }
  /// In GB, without this process's own memory.
  double gigabytes(const std::string& limit) {
    const MachineMemory memory = machine_memory(folder_.path());
    EXPECT_EQ(memory.limit, limit);
    return static_cast<double>(memory.bytes - resident_memory()) / static_cast<double>(kGigabyte);
  }

  TemporaryFolder folder_;
};

TEST_F(MachineMemoryTest, IsWhatTheSystemSaysIsAvailable) {
  EXPECT_NEAR(gigabytes("memory available"), 40, 0.1);
}

TEST_F(MachineMemoryTest, IsWhatTheCgroupLeavesFileCachesCountedAsFree) {
  put("proc/self/cgroup", "0::/user/job\n");
  put("sys/fs/cgroup/user/job/memory.max", std::to_string(8 * kGigabyte) + "\n");
  put("sys/fs/cgroup/user/job/memory.current", std::to_string(5 * kGigabyte + resident_memory()) + "\n");
  put("sys/fs/cgroup/user/job/memory.stat",
      "anon 1\ninactive_file " + std::to_string(2 * kGigabyte) + "\nactive_file " + std::to_string(kGigabyte) + "\n");
  EXPECT_NEAR(gigabytes("limit of cgroup /user/job"), 6, 0.1);
}

TEST_F(MachineMemoryTest, IsTheLeastOfAllCgroupsAbove) {
  put("proc/self/cgroup", "0::/user/job\n");
  put("sys/fs/cgroup/user/job/memory.max", "max\n");
  put("sys/fs/cgroup/user/memory.max", std::to_string(3 * kGigabyte) + "\n");
  put("sys/fs/cgroup/memory.max", std::to_string(9 * kGigabyte) + "\n");
  EXPECT_NEAR(gigabytes("limit of cgroup /user"), 3, 0.1);
}

TEST_F(MachineMemoryTest, IsWhatACgroupOfVersionOneLeaves) {
  put("proc/self/cgroup", "12:cpu,cpuacct:/x\n7:memory:/docker/abc\n");
  // A container sees its own cgroup as the top one.
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(4 * kGigabyte) + "\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(3 * kGigabyte + resident_memory()) + "\n");
  put("sys/fs/cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file " + std::to_string(kGigabyte) + "\n");
  EXPECT_NEAR(gigabytes("limit of cgroup /"), 2, 0.1);
}

TEST_F(MachineMemoryTest, IsTheProcesssOwnLimitWhereThatIsLess) {
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit limit{32 * kGigabyte, before.rlim_max};
  setrlimit(RLIMIT_AS, &limit);
  const double left = gigabytes("ulimit -v");
  setrlimit(RLIMIT_AS, &before);
  EXPECT_LE(left, 32);
  EXPECT_GT(left, 0);
}

TEST(MachineMemory, IsSomethingHere) {
  const MachineMemory memory = machine_memory();
  EXPECT_GT(memory.bytes, resident_memory());
  EXPECT_NE(memory.limit, "none");
}

}  // namespace
}  // namespace millrace
