#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/trainer/log_text.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/weights/safetensors.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using NotFiniteCheckpointTest = TrainLoopTest;

/// Changes a number in a tensor of a checkpoint and updates the checksums, as if a program without this check had saved
/// it.
void put_into(const fs::path& checkpoint, const char* file, const std::string& tensor, float number) {
  std::string bytes = text_of(checkpoint / file);
  {
    const SafetensorsFile whole(checkpoint / file);
    const std::byte* first = whole.tensors().front().data;
    const auto offset = static_cast<std::size_t>(whole.tensor(tensor).data - first);
    const std::size_t header = bytes.size() - (whole.tensors().back().data - first) - whole.tensors().back().bytes();
    std::memcpy(bytes.data() + header + offset, &number, sizeof number);
  }
  const fs::path moved = checkpoint.parent_path().parent_path() / "moved";
  fs::rename(checkpoint, moved);
  publish_checkpoint(checkpoint.parent_path(), {std::stoull(checkpoint.filename().string().substr(5)), 0},
                     [&](const fs::path& folder) {
                       for (const auto& entry : fs::directory_iterator(moved))
                         if (entry.path().filename() != "manifest.json")
                           fs::copy(entry.path(), folder / entry.path().filename());
                       write_text(folder / file, bytes);
                       return std::vector<FileSum>();
                     });
  fs::remove_all(moved);
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST_F(NotFiniteCheckpointTest, NumbersThatAreNotFiniteInTheNewestCheckpointSendTheRunToTheOneBefore) {
  run("whole", 9);
  run("hurt", 7);
  const fs::path checkpoints = folder_.path() / "hurt" / "checkpoints";
  put_into(checkpoint_path(checkpoints, 7), "model.safetensors", "model.norm.weight", kNaN);
  const LogText log;
  run("hurt", 9);
  EXPECT_THAT(log.text(), testing::HasSubstr("tensor \"model.norm.weight\" holds 1 number that is not finite: nan"));
  EXPECT_TRUE(fs::exists(checkpoints / "damaged-step-000007"));
  EXPECT_EQ(weights("hurt", 9), weights("whole", 9));
}

TEST_F(NotFiniteCheckpointTest, ARunDoesNotGoOnOrBeginWithNumbersThatAreNotFinite) {
  run("hurt", 2);
  const fs::path checkpoint = checkpoint_path(folder_.path() / "hurt" / "checkpoints", 2);
  const auto refusal = [](const auto& act) -> std::string {
    try {
      act();
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "not refused";
  };
  const std::string state = "model.layers.0.self_attn.q_proj.weight.v";
  put_into(checkpoint, "optimizer.safetensors", state, kNaN);
  EXPECT_THAT(refusal([&] { TrainLoop(setup("hurt")).resume(); }), testing::HasSubstr(state));
  put_into(checkpoint, "model.safetensors", "lm_head.weight", std::numeric_limits<float>::infinity());
  EXPECT_THAT(refusal([&] { TrainLoop(setup("hurt")).resume(); }), testing::HasSubstr("lm_head.weight"));
  EXPECT_THAT(refusal([&] { TrainLoop(setup("new")).start_with_weights(checkpoint); }),
              testing::HasSubstr("lm_head.weight"));
}

}  // namespace
}  // namespace millrace
