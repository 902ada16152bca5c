#include "trainer/weights/drawn_weights.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "model/bf16.h"
#include "model/cpu/cpu_device.h"
#include "model/parameters/parameter.h"
#include "model/stop.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

/// With an embedding of more numbers than are drawn at a time.
ModelConfig wide_vocabulary() {
  ModelConfig config = tiny_model();
  config.vocab_size = 270'000;
  return config;
}

class DrawnWeightsTest : public testing::Test {
 protected:
  std::vector<float> written(TensorType type, std::uint64_t seed) const {
    write_drawn_weights(folder_.path(), config_, type, seed, [](std::uint64_t) {});
    CpuDevice device(Precision::f32);
    const ParameterMemory memory(device, config_, ParameterMemory::Gradients::none);
    load_parameters(device, folder_.path(), memory.views());
    return all_floats(memory.views());
  }
  /// As a run draws them.
  std::vector<float> begun(std::uint64_t seed) const {
    CpuDevice device(Precision::f32);
    ParameterMemory memory(device, config_, ParameterMemory::Gradients::none);
    memory.initialize(first_numbers(seed));
    return all_floats(memory.views());
  }

  TemporaryFolder folder_;
  ModelConfig config_ = wide_vocabulary();
};

TEST_F(DrawnWeightsTest, AreThoseThatARunOfTheSameSeedBeginsWith) {
  std::vector<float> expected = begun(7);
  EXPECT_EQ(written(TensorType::f32, 7), expected);
  std::ranges::transform(expected, expected.begin(), [](float value) { return widened(rounded(value)); });
  EXPECT_EQ(written(TensorType::bf16, 7), expected);
  EXPECT_NE(written(TensorType::f32, 8), begun(7));
}

TEST_F(DrawnWeightsTest, AreCountedWhileTheyAreDrawn) {
  std::vector<std::uint64_t> told;
  write_drawn_weights(folder_.path(), config_, TensorType::f32, 1, [&](std::uint64_t drawn) { told.push_back(drawn); });
  EXPECT_TRUE(std::ranges::is_sorted(told, std::less_equal()));
  EXPECT_GT(told.size(), parameter_specs(config_).size());
  EXPECT_EQ(told.back(), static_cast<std::uint64_t>(parameter_count(config_)));
}

TEST_F(DrawnWeightsTest, AreNotThereUnlessAllWereDrawn) {
  EXPECT_THROW(write_drawn_weights(folder_.path(), config_, TensorType::f32, 1, [](std::uint64_t) { throw Stopped(); }),
               Stopped);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

}  // namespace
}  // namespace millrace
