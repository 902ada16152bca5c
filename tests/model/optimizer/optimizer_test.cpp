// What holds for both optimizers.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/device/counting_device.h"
#include "tests/model/cuda/lanes_in_turn.h"
#include "tests/model/kernels/ordered_device.h"
#include "tests/model/optimizer/optimizer_tensors.h"

namespace millrace {
namespace {

using namespace test;

class OptimizerTest : public testing::TestWithParam<const char*> {
 protected:
  ~OptimizerTest() override { omp_set_num_threads(threads_); }

  int threads_ = omp_get_max_threads();
};

double norm_of(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number * number;
  return std::sqrt(sum);
}

/// Larger than one piece of rows, and not divided evenly.
std::vector<ParameterSpec> large_tensors() {
  return {spec("m", {140, 257}), spec("v", {2003}), spec("gate_weight", {60, 300}), spec("e", {3, 133, 165}, true)};
}

/// Norms, values, state and images after three steps.
std::vector<double> results_on(Device& device, const char* name) {
  OptimizerTensors tensors(device, large_tensors());
  tensors.draw(11, 0.1, 0.01);
  const auto optimizer = optimizer_named(name, device, tensors.views);
  std::vector<double> results;
  for (std::uint64_t step = 0; step < 3; ++step) {
    tensors.draw_gradients(step, 1);
    results.push_back(optimizer->gradient_norm());
    const UpdateNorms norms = optimizer->update(0.01, 0.7);
    results.insert(results.end(), {norms.values, norms.change});
  }
  const std::vector<double> numbers = all_numbers(tensors, *optimizer);
  results.insert(results.end(), numbers.begin(), numbers.end());
  for (const Parameter& parameter : tensors.views.all) {
    if (!parameter.image) continue;
    std::vector<Bf16> image(static_cast<std::size_t>(parameter.spec.size()));
    device.to_host(image.data(), parameter.image.data, image.size() * sizeof(Bf16));
    for (const Bf16 number : image) results.push_back(static_cast<double>(widened(number)));
  }
  return results;
}

TEST_P(OptimizerTest, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    CpuDevice device(precision);
    omp_set_num_threads(1);
    const std::vector<double> one = results_on(device, GetParam());
    for (const int threads : {2, 3, 8}) {
      omp_set_num_threads(threads);
      EXPECT_TRUE(same_bits(results_on(device, GetParam()), one)) << threads;
    }
  }
}

TEST_P(OptimizerTest, HasTheSameBitsInAnyOrderOfLanesAndBlocks) {
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::f64}) {
    OrderedDevice forwards(precision, Order::forwards, true);
    const std::vector<double> expected = results_on(forwards, GetParam());
    for (const Order order : {Order::backwards, Order::shuffled}) {
      OrderedDevice other(precision, order, true);
      EXPECT_TRUE(same_bits(results_on(other, GetParam()), expected));
    }
    CpuDevice device(precision);
    const double tolerance = precision == Precision::bf16 ? 0x1p-7 : 1e-5;  // Images may round to the next number.
    const std::vector<double> results = results_on(device, GetParam());
    ASSERT_EQ(results.size(), expected.size());
    for (std::size_t i = 0; i < results.size(); ++i)
      ASSERT_NEAR(results[i], expected[i], tolerance * std::abs(expected[i]) + 1e-5) << i;
  }
}

TEST_P(OptimizerTest, HasTheSameBitsInAnyOrderOfAGpusLanesAndBlocks) {
  LanesInTurnDevice forwards(Precision::bf16, Order::forwards);
  LanesInTurnDevice backwards(Precision::bf16, Order::backwards);
  EXPECT_TRUE(same_bits(results_on(backwards, GetParam()), results_on(forwards, GetParam())));
}

TEST_P(OptimizerTest, ReportsTheNormOfAllGradients) {
  CpuDevice device(Precision::f32);
  OptimizerTensors tensors(device, large_tensors());
  tensors.draw(2, 1, 3);
  std::vector<double> all;
  for (std::size_t i = 0; i < tensors.views.all.size(); ++i) {
    const std::vector<double> numbers = tensors.gradients(i);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  const double norm = optimizer_named(GetParam(), device, tensors.views)->gradient_norm();
  EXPECT_NEAR(norm, norm_of(all), 1e-12 * norm);
}

TEST_P(OptimizerTest, ReportsTheNormsOfTheValuesBeforeAndOfWhatChanged) {
  CpuDevice device(Precision::f32);
  OptimizerTensors tensors(device, large_tensors());
  tensors.draw(2, 1, 3);
  const auto optimizer = optimizer_named(GetParam(), device, tensors.views);
  for (std::uint64_t step = 0; step < 3; ++step) {
    tensors.draw_gradients(step, 1);
    const std::vector<double> before = tensors.all_values();
    const UpdateNorms norms = step_of(*optimizer, 0.01, 0.5);
    std::vector<double> change = tensors.all_values();
    for (std::size_t i = 0; i < change.size(); ++i) change[i] -= before[i];
    EXPECT_NEAR(norms.values, norm_of(before), 1e-9 * norms.values);
    EXPECT_NEAR(norms.change, norm_of(change), 1e-5 * norms.change);
    EXPECT_GT(norms.change, 0);
  }
}

/// With factors that are powers of two nothing is rounded differently.
TEST_P(OptimizerTest, CountsGradientsAsTheFactorTimesWhatTheyAre) {
  CpuDevice device(Precision::f32);
  OptimizerTensors scaled(device, large_tensors());
  OptimizerTensors clipped(device, large_tensors());
  scaled.draw(2, 1, 0.25 * 3);
  clipped.draw(2, 1, 3);
  const auto of_scaled = optimizer_named(GetParam(), device, scaled.views);
  const auto of_clipped = optimizer_named(GetParam(), device, clipped.views);
  step_of(*of_scaled, 0.01);
  step_of(*of_clipped, 0.01, 0.25);
  EXPECT_TRUE(same_bits(all_numbers(clipped, *of_clipped), all_numbers(scaled, *of_scaled)));
}

TEST_P(OptimizerTest, GoesOnFromItsStateAndItsUpdatesAlone) {
  CpuDevice device(Precision::f32);
  OptimizerTensors whole(device, large_tensors());
  OptimizerTensors halves(device, large_tensors());
  whole.draw(3, 1, 0.1);
  halves.draw(3, 1, 0.1);
  const auto of_whole = optimizer_named(GetParam(), device, whole.views);
  const auto first = optimizer_named(GetParam(), device, halves.views);
  const auto second = optimizer_named(GetParam(), device, halves.views);
  step_of(*of_whole, 0.1);
  step_of(*first, 0.1);
  for (std::size_t i = 0; i < first->state().size(); ++i)
    put_all(device, second->state()[i].data, numbers_of(device, first->state()[i].data));
  second->set_updates(first->updates());
  step_of(*of_whole, 0.1);
  step_of(*second, 0.1);
  EXPECT_EQ(second->updates(), 2U);
  EXPECT_TRUE(same_bits(all_numbers(halves, *second), all_numbers(whole, *of_whole)));
}

TEST_P(OptimizerTest, LeavesImagesThatAreTheNewValuesRounded) {
  CpuDevice device(Precision::bf16);
  OptimizerTensors tensors(device, large_tensors());
  tensors.draw(3, 1, 1);
  step_of(*optimizer_named(GetParam(), device, tensors.views), 0.1);
  int images = 0;
  for (std::size_t i = 0; i < tensors.views.all.size(); ++i) {
    const Parameter& parameter = tensors.views.all[i];
    if (!parameter.image) continue;
    ++images;
    std::vector<Bf16> image(static_cast<std::size_t>(parameter.spec.size()));
    device.to_host(image.data(), parameter.image.data, image.size() * sizeof(Bf16));
    const std::vector<double> values = tensors.values(i);
    for (std::size_t j = 0; j < image.size(); ++j)
      ASSERT_EQ(image[j], rounded(static_cast<float>(values[j]))) << i << " " << j;
  }
  EXPECT_EQ(images, 2);
}

TEST_P(OptimizerTest, AllocatesNothingOnceItIsMade) {
  CountingDevice device(Precision::f32, true);
  const OptimizerTensors tensors(device, large_tensors());
  const auto optimizer = optimizer_named(GetParam(), device, tensors.views);
  const std::uint64_t made = device.bytes();
  for (int step = 0; step < 2; ++step) step_of(*optimizer, 0.1);
  EXPECT_EQ(device.bytes(), made);
}

INSTANTIATE_TEST_SUITE_P(, OptimizerTest, testing::Values("adafactor", "adamw"),
                         [](const auto& of) { return std::string(of.param); });

}  // namespace
}  // namespace millrace
