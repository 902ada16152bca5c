#include "trainer/backend/local_backend.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/model/device/later_device.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(LocalBackend, HasTheNextMicroBatchInWorkBeforeItWaitsForOne) {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  auto made = std::make_unique<LaterDevice>(Precision::f32, ProductSource::loops);
  LaterDevice& device = *made;
  LocalBackend backend(std::move(made), config, TrainConfig{});
  backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 3, element); });
  backend.values_changed();
  const RandomBatch batch(2, 20, config.vocab_size, 5);
  constexpr int kCount = 4;
  std::string order;
  std::vector<int> waits;
  const auto step = [&] {
    order.clear();
    waits.clear();
    backend.forward_backward({.count = kCount,
                              .share = 1.0 / kCount,
                              .rows =
                                  [&](std::size_t i) {
                                    order += " +" + std::to_string(i);
                                    return batch.view();
                                  },
                              .done =
                                  [&](std::size_t i, const Losses& losses, const TokenScores& scores) {
                                    order += " -" + std::to_string(i);
                                    waits.push_back(device.waits());
                                    EXPECT_GT(losses.ce, 0);
                                    EXPECT_GT(scores.cross_entropy[3], 0);
                                  }});
  };
  step();
  backend.gradient_norm();
  backend.update(0.001, 1);
  const int before = device.waits();
  step();
  EXPECT_EQ(order, " +0 +1 -0 +2 -1 +3 -2 -3");
  EXPECT_EQ(waits, (std::vector<int>{before + 1, before + 2, before + 3, before + 4})) << "one a micro-batch";
  backend.gradient_norm();
  backend.update(0.001, 1);
  EXPECT_EQ(device.waits(), before + kCount + 2);
}

}  // namespace
}  // namespace millrace
