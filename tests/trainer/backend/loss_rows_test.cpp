// A step of 128 rows whose losses share one divisor, in micro-batches of several sizes.
#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "tests/model/test_support.h"
#include "trainer/backend/local_backend.h"

namespace millrace {
namespace {

constexpr int kRows = 128;
constexpr int kLength = 256;

struct StepResult {
  Losses losses;  ///< Means over the micro-batches.
  std::vector<std::vector<double>> gradients;
};

/// Rows with few and many targets.
test::RandomBatch thin_and_thick_rows(int vocabulary) {
  test::RandomBatch batch(kRows, kLength, vocabulary, 3);
  for (int row = 0; row < kRows; ++row) {
    const int targets = 1 + static_cast<int>(test::uniform(9, static_cast<std::uint64_t>(row)) * (kLength - 1));
    for (int t = targets; t < kLength; ++t) batch.weights[static_cast<std::size_t>(row * kLength + t)] = 0;
  }
  return batch;
}

StepResult step(const ModelConfig& config, int micro_rows, int loss_rows) {
  const test::RandomBatch rows = thin_and_thick_rows(config.vocab_size);
  LocalBackend backend(std::make_unique<CpuDevice>(Precision::f32), config, TrainConfig{});
  backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 3, element); });
  backend.values_changed();
  const double share = static_cast<double>(micro_rows) / kRows;
  const auto micro_batch = [&](std::size_t i) {
    const std::size_t first = i * static_cast<std::size_t>(micro_rows * kLength);
    TokenBatch batch{micro_rows, kLength, rows.tokens.data() + first, rows.labels.data() + first,
                     rows.weights.data() + first};
    const int group = static_cast<int>(i) * micro_rows / loss_rows;
    for (int t = group * loss_rows * kLength; t < (group + 1) * loss_rows * kLength; ++t)
      batch.loss_divisor += static_cast<double>(rows.weights[static_cast<std::size_t>(t)]) * micro_rows / loss_rows;
    return batch;
  };
  StepResult result;
  backend.forward_backward({.count = static_cast<std::size_t>(kRows / micro_rows),
                            .share = share,
                            .rows = micro_batch,
                            .done = [&](std::size_t, const Losses& losses, const TokenScores&) {
                              result.losses.total += share * losses.total;
                              result.losses.ce += share * losses.ce;
                              result.losses.aux_loss += share * losses.aux_loss;
                              result.losses.router_z_loss += share * losses.router_z_loss;
                            }});
  for (const Parameter& parameter : backend.parameters().all) {
    const std::span<float> numbers = test::numbers_of<float>(parameter.gradient);
    result.gradients.emplace_back(numbers.begin(), numbers.end());
  }
  return result;
}

double largest_distance(const StepResult& a, const StepResult& b) {
  double largest = 0;
  for (std::size_t tensor = 0; tensor < a.gradients.size(); ++tensor) {
    double apart = 0;
    double size = 0;
    for (std::size_t i = 0; i < a.gradients[tensor].size(); ++i) {
      apart += std::pow(a.gradients[tensor][i] - b.gradients[tensor][i], 2);
      size += std::pow(a.gradients[tensor][i], 2);
    }
    largest = std::max(largest, std::sqrt(apart / size));
  }
  return largest;
}

TEST(LossRows, MakeAStepThatMicroBatchesDoNotChange) {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  config.router_group_size = 512;
  const StepResult first = step(config, 2, kRows);
  for (const int micro_rows : {8, 32}) {
    SCOPED_TRACE(micro_rows);
    const StepResult other = step(config, micro_rows, kRows);
    EXPECT_NEAR(other.losses.total, first.losses.total, 1e-5 * first.losses.total);
    EXPECT_NEAR(other.losses.ce, first.losses.ce, 1e-5 * first.losses.ce);
    EXPECT_NEAR(other.losses.aux_loss, first.losses.aux_loss, 1e-5 * first.losses.aux_loss);
    EXPECT_NEAR(other.losses.router_z_loss, first.losses.router_z_loss, 1e-5 * first.losses.router_z_loss);
    EXPECT_LT(largest_distance(first, other), 1e-4);
  }
  EXPECT_GT(largest_distance(first, step(config, 2, 2)), 0.01);
}

}  // namespace
}  // namespace millrace
