#include "stages/io/atomic_file.h"

#include <fstream>
#include <iterator>
#include <system_error>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stages/io/disk.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  fs::path at(const std::string& name) const { return folder_.path() / name; }
  static std::string text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t entries() const {
    const fs::directory_iterator all(folder_.path());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  TemporaryFolder folder_;
};

TEST_F(AtomicFileTest, AppearsWholeOrNotAtAll) {
  {
    AtomicFile given_up(at("a"));
    given_up.write("half");
    EXPECT_FALSE(fs::exists(at("a")));
  }
  EXPECT_EQ(entries(), 0U);
  write_file_atomically(at("a"), "whole");
  EXPECT_EQ(text(at("a")), "whole");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(AtomicFileTest, WritesThroughLinksAndLeavesThem) {
  folder_.write("real/a", "old");
  fs::create_symlink("real/a", at("link"));
  fs::create_symlink("link", at("link-to-link"));
  fs::create_symlink("real/b", at("dangling"));
  write_file_atomically(at("link-to-link"), "new");
  write_file_atomically(at("dangling"), "made");
  EXPECT_EQ(text(at("real/a")), "new");
  EXPECT_EQ(text(at("real/b")), "made");
  for (const char* link : {"link", "link-to-link", "dangling"}) EXPECT_TRUE(fs::is_symlink(at(link))) << link;
}

TEST_F(AtomicFileTest, LeavesAFileItsPermissions) {
  constexpr mode_t kPermissions = 0777;
  const auto mode = [&](const std::string& name) {
    struct stat status {};
    EXPECT_EQ(::stat(at(name).c_str(), &status), 0);
    return status.st_mode & kPermissions;
  };
  const mode_t mask = ::umask(0027);
  fs::create_symlink("a", at("link"));
  for (const mode_t kept : {0600U, 0664U, 0751U, 0444U, 0777U}) {
    folder_.write("a", "old");
    ASSERT_EQ(::chmod(at("a").c_str(), kept), 0);
    write_file_atomically(at("a"), "new");
    EXPECT_EQ(mode("a"), kept);
    write_file_atomically(at("link"), "newer");
    EXPECT_EQ(mode("a"), kept);
    EXPECT_EQ(text(at("a")), "newer");
    fs::remove(at("a"));
  }
  write_file_atomically(at("b"), "new");
  EXPECT_EQ(mode("b"), 0640U) << "a new file has what the process gives to new files";
  ::umask(mask);
}

TEST_F(AtomicFileTest, PutsNoFileInThePlaceOfWhatIsNone) {
  fs::create_directory(at("folder"));
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0666), 0);
  fs::create_symlink("/dev/null", at("device"));
  fs::create_symlink("loop", at("loop"));
  for (const char* name : {"folder", "pipe", "device", "loop"})
    EXPECT_THROW(write_file_atomically(at(name), "x"), std::system_error) << name;
  EXPECT_TRUE(fs::is_fifo(at("pipe")));
  EXPECT_TRUE(fs::is_symlink(at("device")));
  EXPECT_EQ(entries(), 4U);
}

TEST_F(AtomicFileTest, TouchesNoFileOfAnotherName) {
  for (int number = 0; number < 50; ++number)
    folder_.write(".millrace-" + std::to_string(::getpid()) + "-" + std::to_string(number) + ".tmp", "left");
  folder_.write("a.tmp", "somebody's");
  write_file_atomically(at("a"), "whole");
  EXPECT_EQ(entries(), 52U);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) {
    if (is_temporary_name(entry.path().filename().string())) {
      EXPECT_EQ(text(entry.path()), "left");
    }
  }
  EXPECT_FALSE(is_temporary_name("a.tmp"));
}

TEST_F(AtomicFileTest, HasRoomForTheLongestName) {
  const std::string longest(255, 'n');
  write_file_atomically(at(longest), "whole");
  EXPECT_EQ(text(at(longest)), "whole");
}

TEST_F(AtomicFileTest, RefusesANameThatNoFileCanHaveBeforeItIsWritten) {
  EXPECT_THROW(AtomicFile(at(std::string(256, 'n'))), std::system_error);
  fs::create_symlink("loop", at("loop"));
  EXPECT_THROW(AtomicFile(at("loop") / "x"), std::system_error);
  EXPECT_EQ(entries(), 1U);
}

TEST(ThroughLinks, RefusesAnOutputThatIsAnOpenFile) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("a", "");
  std::FILE* open = std::fopen(file.c_str(), "w");
  EXPECT_THROW(through_links("/dev/fd/" + std::to_string(fileno(open))), std::system_error);
  std::fclose(open);
}

}  // namespace
}  // namespace millrace
