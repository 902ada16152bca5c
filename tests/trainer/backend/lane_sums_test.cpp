#include "trainer/backend/lane_sums.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "tests/model/test_support.h"
#include "trainer/backend/local_backend.h"

namespace millrace {
namespace {

constexpr std::size_t kMicroBatches = 8;

/// The gradient of each tensor.
using Gradients = std::vector<std::vector<float>>;

Gradients gradients_of(const Parameters& parameters) {
  Gradients all;
  for (const Parameter& parameter : parameters.all) {
    const std::span<float> numbers = test::numbers_of<float>(parameter.gradient);
    all.emplace_back(numbers.begin(), numbers.end());
  }
  return all;
}

std::vector<float> sum(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

bool same_bits(const Gradients& a, const Gradients& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  return true;
}

/// A model whose head has its loss in two chunks, and the micro-batches of a step.
struct Step {
  ModelConfig config = model_preset("openmoe-micro");
  std::vector<test::RandomBatch> batches;

  Step() {
    config.capacity_rule = CapacityRule::flaxformer;
    for (std::size_t i = 0; i < kMicroBatches; ++i) batches.emplace_back(2, 600, config.vocab_size, 10 * i + 1);
  }

  /// Of micro-batches `from` to `end`, which all count as `share` of the step.
  Gradients gradients(std::size_t from, std::size_t end, int lanes = 1, int expert_lanes = 1) const {
    TrainConfig train;
    train.lanes = lanes;
    train.expert_lanes = expert_lanes;
    LocalBackend backend(std::make_unique<CpuDevice>(Precision::f32), config, train);
    backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 3, element); });
    backend.values_changed();
    backend.forward_backward({.count = end - from,
                              .share = 1.0 / kMicroBatches,
                              .rows = [&](std::size_t i) { return batches[from + i].view(); },
                              .done = [](std::size_t, const Losses&, const TokenScores&) {}});
    return gradients_of(backend.parameters());
  }
};

/// The sums of docs/training.md, "The order of sums", said once more in the plainest way.
class PlainSums {
 public:
  PlainSums(const std::vector<Gradients>& parts, std::size_t lanes, std::size_t expert_lanes)
      : parts_(parts), lanes_(lanes), expert_lanes_(expert_lanes) {}

  std::vector<float> of(std::size_t tensor, bool per_expert) const { return tree(tensor, per_expert, 0, lanes_); }

 private:
  std::vector<float> tree(std::size_t tensor, bool per_expert, std::size_t first, std::size_t count) const {
    if (count == 1) return lane(tensor, per_expert ? 1 : expert_lanes_, first);
    return sum(tree(tensor, per_expert, first, count / 2), tree(tensor, per_expert, first + count / 2, count / 2));
  }
  std::vector<float> lane(std::size_t tensor, std::size_t widths, std::size_t lane) const {
    return sub_lanes(tensor, widths, lane, 0, widths);
  }
  /// Sub-lanes first, first + widths / count, ...: those that differ in the highest bit are added first.
  std::vector<float> sub_lanes(std::size_t tensor, std::size_t widths, std::size_t lane, std::size_t first,
                               std::size_t count) const {
    if (count == 1) return left_to_right(tensor, widths, lane, first);
    const std::size_t step = widths / count;
    return sum(sub_lanes(tensor, widths, lane, first, count / 2),
               sub_lanes(tensor, widths, lane, first + step, count / 2));
  }
  std::vector<float> left_to_right(std::size_t tensor, std::size_t widths, std::size_t lane, std::size_t first) const {
    const std::size_t in_lane = kMicroBatches / lanes_;
    std::vector<float> all = parts_[lane * in_lane + first][tensor];
    for (std::size_t i = first + widths; i < in_lane; i += widths) all = sum(all, parts_[lane * in_lane + i][tensor]);
    return all;
  }

  const std::vector<Gradients>& parts_;
  std::size_t lanes_, expert_lanes_;
};

TEST(LaneSums, AreThePlainSumsOfTheMicroBatchesGradientsInTheStatedOrder) {
  const Step step;
  std::vector<Gradients> parts;
  for (std::size_t i = 0; i < kMicroBatches; ++i) parts.push_back(step.gradients(i, i + 1));
  const std::vector<ParameterSpec> specs = parameter_specs(step.config);
  std::map<int, Gradients> of_lanes;
  for (const int lanes : {1, 2, 4, 8}) {
    for (const int expert_lanes : {1, 2, 4}) {
      if (lanes * expert_lanes > static_cast<int>(kMicroBatches)) continue;
      SCOPED_TRACE(testing::Message() << lanes << " lanes, " << expert_lanes << " expert lanes");
      const PlainSums plain(parts, static_cast<std::size_t>(lanes), static_cast<std::size_t>(expert_lanes));
      Gradients expected;
      for (std::size_t i = 0; i < specs.size(); ++i) expected.push_back(plain.of(i, specs[i].per_expert));
      for (const int threads : {1, 3}) {
        omp_set_num_threads(threads);
        const Gradients seen = step.gradients(0, kMicroBatches, lanes, expert_lanes);
        for (std::size_t i = 0; i < specs.size(); ++i)
          EXPECT_EQ(std::memcmp(seen[i].data(), expected[i].data(), seen[i].size() * sizeof(float)), 0)
              << specs[i].name;
        if (expert_lanes == 1) of_lanes[lanes] = seen;
      }
    }
  }
  omp_set_num_threads(omp_get_num_procs());
  EXPECT_FALSE(same_bits(of_lanes[1], of_lanes[4]));
}

}  // namespace
}  // namespace millrace
