#include "trainer/metrics/line_filter.h"

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <system_error>

#include <gtest/gtest.h>

#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "trainer/metrics/process_memory.h"
#include "trainer/metrics/run_log.h"

namespace millrace {
namespace {

TEST(KeepLines, KeepsWholeLinesThatAreWantedAndNothingElse) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "log";
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    std::string text, expected;
    const auto lines = random() % 30;
    for (std::size_t i = 0; i < lines; ++i) {
      const std::string line(random() % (round == 0 ? 700'000 : 40), static_cast<char>('a' + random() % 3));
      text += line + "\n";
      if (!line.starts_with('b')) expected += line + "\n";
    }
    if (random() % 2 == 0) text += "torn";
    write_text(file, text);
    keep_lines(file, [](const std::string& line) { return !line.starts_with('b'); });
    EXPECT_EQ(text_of(file), expected);
  }
}

TEST(KeepLines, PassesOverALineLongerThanAnyOfOurs) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "log";
  {
    std::ofstream out(file, std::ios::binary);
    out << "first\n";
    const std::string block(1 << 20, '\0');
    for (std::size_t written = 0; written <= kLongestLogLine; written += block.size()) out << block;
    out << "\nlast\n";
  }
  keep_lines(file, [](const std::string&) { return true; });
  EXPECT_EQ(text_of(file), "first\nlast\n");
}

TEST(KeepLines, LeavesAFileThatIsNotThereAndAFileThatCannotBeRead) {
  const TemporaryFolder folder;
  keep_lines(folder.path() / "none", [](const std::string&) { return true; });
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "none"));
  std::filesystem::create_directory(folder.path() / "folder");
  EXPECT_THROW(keep_lines(folder.path() / "folder", [](const std::string&) { return true; }), std::system_error);
}

TEST(CutBackLogs, TakesNoMoreMemoryForLongerLogs) {
  const TemporaryFolder folder;
  constexpr std::uint64_t kLines = 40'000;
  {
    std::ofstream out(folder.path() / "metrics.jsonl", std::ios::binary);
    const std::string filling(1000, 'x');
    for (std::uint64_t step = 1; step <= kLines; ++step)
      out << R"({"step":)" << step << R"(,"filling":")" << filling << "\"}\n";
  }
  const std::uint64_t size = std::filesystem::file_size(folder.path() / "metrics.jsonl");
  const std::uint64_t before = peak_memory();
  cut_back_logs(folder.path(), LogEnd{.step = kLines - 1, .evaluated_at = {}, .row = 0});
  EXPECT_LT(peak_memory() - before, size / 4);
  EXPECT_GT(std::filesystem::file_size(folder.path() / "metrics.jsonl"), size - 2000);
}

}  // namespace
}  // namespace millrace
