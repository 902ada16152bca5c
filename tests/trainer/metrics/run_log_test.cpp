#include "trainer/metrics/run_log.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "tests/trainer/full_disk.h"

namespace millrace {
namespace {

StreamRow row(std::uint64_t number) {
  StreamRow row;
  row.number = number;
  StreamPosition after;
  after.row = number + 1;
  row.after = std::make_shared<const StreamPosition>(after);
  return row;
}

TEST(RunLog, AppendsALineAtATime) {
  const TemporaryFolder folder;
  RunLog(folder.path(), 0).metrics({{"step", 1}});
  RunLog(folder.path(), 2).metrics({{"step", 2}});
  EXPECT_EQ(text_of(folder.path() / "metrics.jsonl"), "{\"step\":1}\n{\"step\":2}\n");
}

TEST(RunLog, NamesARejectAndTheRowThatCameNext) {
  const TemporaryFolder folder;
  StreamRow with_reject = row(6);
  with_reject.rejects.push_back({{"shard.jsonl", 3, 4, 90}, RejectCause::bad_json, "not \xFF JSON", 12});
  with_reject.reject_corpora.push_back(1);
  RunLog(folder.path(), 0).row(with_reject, {"prose", "code"});
  EXPECT_EQ(text_of(folder.path() / "rejects.jsonl"),
            "{\"row\":6,\"corpus\":\"code\",\"shard\":\"shard.jsonl\",\"record\":3,\"line\":4,\"byte\":90,\"cause\":"
            "\"bad_json\","
            "\"reason\":\"not \xEF\xBF\xBD JSON\",\"lost_bytes\":12,\"lost_records\":1,\"lost_content\":0}\n");
}

TEST(RunLog, KeepsWhatTheDiskDoesNotTakeAndWritesItLater) {
  const TemporaryFolder folder;
  RunLog log(folder.path(), 0);
  log.metrics({{"step", 1}});
  {
    const FullDisk full(14);
    log.metrics({{"step", 2}});
    log.metrics({{"step", 3}});
    log.retry();
    EXPECT_EQ(text_of(folder.path() / "metrics.jsonl"), "{\"step\":1}\n{\"s");
  }
  log.retry();
  EXPECT_EQ(text_of(folder.path() / "metrics.jsonl"), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}

TEST(AppendFile, TellsItsFirstTroubleAndNoOther) {
  std::vector<std::string> told;
  AppendFile full("/dev/full", [&](const std::string& what) { told.push_back(what); });
  full.append("a line\n");
  full.append("another\n");
  full.retry();
  full.sync();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("/dev/full: cannot write: No space left on device"), std::string::npos) << told[0];
}

TEST(AppendFile, KeepsSoMuchAndNoMoreOfWhatIsNotTaken) {
  const TemporaryFolder folder;
  const std::string block(AppendFile::kMostWaiting / 4, 'x');
  AppendFile file(folder.path() / "log", [](const std::string&) {});
  {
    const FullDisk full(0);
    for (int i = 0; i < 9; ++i) file.append(block);
  }
  file.retry();
  EXPECT_EQ(std::filesystem::file_size(folder.path() / "log"), AppendFile::kMostWaiting);
}

TEST(RunLog, KeepsThePositionBehindEveryThousandthRow) {
  const TemporaryFolder folder;
  RunLog log(folder.path(), 0);
  for (const std::uint64_t number : {998u, 999u, 1000u, 1999u}) log.row(row(number), {});
  const std::string text = text_of(folder.path() / "positions.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(CutBackLogs, LeavesEachStepOnceAndNoTornLine) {
  const TemporaryFolder folder;
  write_text(folder.path() / "metrics.jsonl",
             "{\"step\":0,\"eval\":{}}\n{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval\":{}}\n{\"step\":3}\n{\"step\":"
             "4,\"los");
  write_text(folder.path() / "rejects.jsonl", "{\"row\":7}\n{\"row\":8}\n");
  cut_back_logs(folder.path(), LogEnd{2, 0, 8});
  EXPECT_EQ(text_of(folder.path() / "metrics.jsonl"), "{\"step\":0,\"eval\":{}}\n{\"step\":1}\n{\"step\":2}\n");
  EXPECT_EQ(text_of(folder.path() / "rejects.jsonl"), "{\"row\":7}\n");
}

TEST(CutBackLogs, LeavesNothingWithoutACheckpoint) {
  const TemporaryFolder folder;
  write_text(folder.path() / "metrics.jsonl", "{\"step\":0,\"eval\":{}}\n{\"step\":1}\n");
  cut_back_logs(folder.path(), std::nullopt);
  EXPECT_EQ(text_of(folder.path() / "metrics.jsonl"), "");
}

}  // namespace
}  // namespace millrace
