#include <cstdint>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>

#include "tests/trainer/log_text.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class CutCheckpointTest : public TrainLoopTest {
 protected:
  /// Saves a checkpoint's tensors again, in files of at most so many bytes.
  static void cut(const fs::path& checkpoint, std::uint64_t most_bytes) {
    const fs::path whole = checkpoint.parent_path().parent_path() / "whole";
    fs::rename(checkpoint, whole);
    publish_checkpoint(checkpoint.parent_path(), {std::stoull(checkpoint.filename().string().substr(5)), 0},
                       [&](const fs::path& folder) {
                         for (const char* file : {"config.json", "state.json", "unigram.safetensors"})
                           fs::copy(whole / file, folder / file);
                         for (const TensorFileNames& names : {kModelFiles, kOptimizerFiles}) {
                           const SafetensorsFile all(whole / names.single());
                           write_tensor_files(folder, names, all.tensors(), append_from_memory, most_bytes);
                         }
                         return std::vector<FileSum>();
                       });
    fs::remove_all(whole);
  }
  fs::path newest(const std::string& name) const {
    const fs::path parent = folder_.path() / name / "checkpoints";
    return checkpoint_path(parent, checkpoint_steps(parent).back());
  }
};

TEST_F(CutCheckpointTest, ARunGoesOnFromFilesOfAnySize) {
  run("whole", 9);
  for (const std::uint64_t most : {std::uint64_t{1}, std::uint64_t{4} << 10, std::uint64_t{64} << 10}) {
    const std::string name = "cut-" + std::to_string(most);
    run(name, 9, 7);
    cut(newest(name), most);
    EXPECT_EQ(optimizer_bytes(newest(name)), optimizer_bytes(newest("whole")));
    run(name, 9);
    EXPECT_EQ(weights(name, 9), weights("whole", 9)) << most;
    EXPECT_EQ(metrics(name), metrics("whole")) << most;
  }
}

TEST_F(CutCheckpointTest, AFileThatIsMissingOrTruncatedSendsTheRunToTheCheckpointBefore) {
  run("whole", 9);
  const auto expect_passed_over = [&](const std::string& name, const auto& hurt, const std::string& said) {
    run(name, 9, 7);
    cut(newest(name), 4 << 10);
    fs::path first;
    for (const fs::directory_entry& entry : fs::directory_iterator(newest(name)))
      if (entry.path().filename().string().starts_with("model-00001-of-")) first = entry.path();
    ASSERT_FALSE(first.empty());
    hurt(first);
    const LogText log;
    run(name, 9);
    EXPECT_THAT(log.text(), testing::HasSubstr(first.filename().string() + said));
    EXPECT_EQ(weights(name, 9), weights("whole", 9));
  };
  expect_passed_over(
      "missing", [](const fs::path& file) { fs::remove(file); }, " is missing");
  expect_passed_over(
      "truncated", [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 1); }, " has ");
}

}  // namespace
}  // namespace millrace
