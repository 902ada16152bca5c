// Every kernel of a training pass, run by lanes and blocks in three orders: the same bits, or a barrier is missing.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "model/device/read_numbers.h"
#include "tests/model/cuda/lanes_in_turn.h"
#include "tests/model/kernels/ordered_device.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

ModelConfig small(CapacityRule rule, bool pads_routed) {
  ModelConfig config = model_preset("openmoe-micro");
  // More than the lanes of a team, and no multiple of them. Lanes take numbers one by one, or eight at once.
  const bool takes_eight = rule == CapacityRule::dropless;
  config.vocab_size = takes_eight ? 72 : 67;
  config.hidden_size = takes_eight ? 72 : 70;
  config.head_dim = takes_eight ? 16 : 6;
  config.intermediate_size = takes_eight ? 40 : 41;
  config.num_experts = 5;
  config.router_group_size = 40;
  config.capacity_rule = rule;
  config.pads_routed = pads_routed;
  if (pads_routed) config.dropout_rate = 0.1;
  return config;
}

/// Rows with two segments, padding, and positions without loss.
struct Packed {
  RandomBatch random;
  std::vector<std::int32_t> segments, positions;

  Packed(int rows, int vocabulary) : random(rows, 80, vocabulary, 5) {
    for (int row = 0; row < rows; ++row) {
      for (int t = 0; t < 80; ++t) {
        segments.push_back(t < 30 ? 1 : t < 71 ? 2 : 0);
        positions.push_back(t < 30 ? t : t < 71 ? t - 30 : 0);
        const auto at = static_cast<std::size_t>(80 * row + t);
        if (t >= 71) random.tokens[at] = 0;
        if (t >= 71 || t % 3 == 0) random.weights[at] = 0;
      }
    }
  }
  TokenBatch view() const {
    TokenBatch batch = random.view();
    batch.segment_ids = segments.data();
    batch.positions = positions.data();
    return batch;
  }
};

/// Everything that a pass computes: losses, scores, and all gradients.
std::vector<double> results_of(Device& device, const ModelConfig& config, int rows) {
  ParameterMemory memory(device, config, ParameterMemory::Gradients::allocated);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 7, element); });
  memory.round_values();
  Transformer model(device, config, memory.views());
  const Packed packed(rows, config.vocab_size);
  const TokenScores evaluated = model.score(packed.view());
  TokenScores trained;
  const Losses losses = model.forward_backward(packed.view(), 0.5, &trained);
  std::vector<double> all{losses.total, losses.aux_loss, losses.router_z_loss, losses.routers.at(0).entropy,
                          losses.routers.at(0).dropped};
  for (const TokenScores* scores : {&evaluated, static_cast<const TokenScores*>(&trained)}) {
    all.insert(all.end(), scores->cross_entropy.begin(), scores->cross_entropy.end());
    all.insert(all.end(), scores->correct.begin(), scores->correct.end());
  }
  for (const Parameter& parameter : memory.views().all) {
    std::vector<double> gradient(static_cast<std::size_t>(parameter.spec.size()));
    read_numbers(device, parameter.gradient, gradient);
    all.insert(all.end(), gradient.begin(), gradient.end());
  }
  return all;
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

TEST(Kernels, GiveTheSameBitsInAnyOrderOfLanesAndBlocks) {
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::f64}) {
    for (const CapacityRule rule : {CapacityRule::flaxformer, CapacityRule::dropless}) {
      for (const bool has_ragged : {true, false}) {
        SCOPED_TRACE(testing::Message() << "precision " << static_cast<int>(precision) << ", rule "
                                        << static_cast<int>(rule) << ", ragged " << has_ragged);
        const ModelConfig config = small(rule, has_ragged);
        const auto in = [&](Order order) {
          OrderedDevice device(precision, order, has_ragged);
          return results_of(device, config, 2);
        };
        const std::vector<double> forwards = in(Order::forwards);
        for (const Order order : {Order::backwards, Order::shuffled}) {
          const std::vector<double> other = in(order);
          ASSERT_EQ(other.size(), forwards.size());
          EXPECT_EQ(std::memcmp(other.data(), forwards.data(), forwards.size() * sizeof(double)), 0);
        }
        CpuDevice device(precision, ProductSource::loops);
        EXPECT_LT(relative_difference(results_of(device, config, 2), forwards), precision == Precision::f64   ? 1e-13
                                                                                : precision == Precision::f32 ? 1e-5
                                                                                                              : 0.03);
      }
    }
  }
}

/// As above, but what stands between a kernel's calls of its team is done in turn, too.
TEST(Kernels, GiveTheSameBitsInAnyOrderOfAGpusLanesAndBlocks) {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    const CapacityRule rule = precision == Precision::bf16 ? CapacityRule::dropless : CapacityRule::flaxformer;
    const ModelConfig config = small(rule, precision == Precision::bf16);
    const auto in = [&](Order order) {
      LanesInTurnDevice device(precision, order);
      return results_of(device, config, 1);
    };
    const std::vector<double> forwards = in(Order::forwards);
    const std::vector<double> backwards = in(Order::backwards);
    ASSERT_EQ(backwards.size(), forwards.size());
    EXPECT_EQ(std::memcmp(backwards.data(), forwards.data(), forwards.size() * sizeof(double)), 0);
    CpuDevice device(precision, ProductSource::loops);
    EXPECT_LT(relative_difference(results_of(device, config, 1), forwards), precision == Precision::f32 ? 1e-5 : 0.03);
  }
}

}  // namespace
}  // namespace millrace
