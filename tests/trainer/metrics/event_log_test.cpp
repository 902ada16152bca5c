#include "trainer/metrics/event_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// In the order in which they are read.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(EventLog, BeginsAFileThatComesBehindAllThatAreThere) {
  const TemporaryFolder folder;
  const std::string of_a_clock_that_was_ahead = "events.out.tfevents.9999999998.host.1.0";
  write_text(folder.path() / of_a_clock_that_was_ahead, "");
  const EventLog log(folder.path(), 0, {}, [](const std::string&) {});
  const std::vector<std::string> names = names_in(folder.path());
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names.front(), of_a_clock_that_was_ahead);
  EXPECT_TRUE(names.back().starts_with("events.out.tfevents.9999999999.")) << names.back();
}

TEST(EventLog, WritesNothingForALineWithoutNumbersOfItsOwn) {
  const TemporaryFolder folder;
  EventLog log(folder.path(), 0, {}, [](const std::string&) {});
  const fs::path file = folder.path() / names_in(folder.path()).front();
  const std::string before = text_of(file);
  log.add({{"step", 3}, {"eval", {{"prose", nullptr}}}, {"overall", nullptr}});
  log.add({{"step", 3}, {"loss", nullptr}});
  EXPECT_EQ(text_of(file), before);
  log.add({{"step", 3}, {"loss", 0.5}});
  EXPECT_GT(text_of(file).size(), before.size());
}

}  // namespace
}  // namespace millrace
