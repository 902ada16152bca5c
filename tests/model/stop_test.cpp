#include "model/stop.h"

#include <atomic>
#include <stdexcept>

#include <gtest/gtest.h>

#include "model/parallel.h"
#include "model/transformer/generator.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

class StopTest : public testing::Test {
 protected:
  ~StopTest() override { withdraw_stop(); }
};

TEST_F(StopTest, EndsAProductOnTheThreadThatAskedForIt) {
  CpuDevice device(Precision::f32);
  auto a = random_matrix<float>(300, 40, 1);
  auto b = random_matrix<float>(40, 50, 2);
  Matrix<float> c(300, 50);
  const Product product{.a = tensor_over(a), .b = tensor_over(b), .c = tensor_over(c)};
  request_stop();
  EXPECT_THROW(device.multiply(product), Stopped);
  withdraw_stop();
  EXPECT_NO_THROW(device.multiply(product));
}

TEST_F(StopTest, EndsEveryPassOfAModel) {
  const ModelConfig config = model_preset("openmoe-micro");
  auto memory = random_parameters<float>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  Generator generator(*memory.device, config, memory.views(), 8);
  const RandomBatch batch(2, 8, config.vocab_size, 4);
  const auto expect_stopped = [&] {
    EXPECT_THROW(model.forward_backward(batch.view(), 1), Stopped);
    EXPECT_THROW(model.score(batch.view()), Stopped);
    EXPECT_THROW(model.trace(batch.view(), Mode::eval), Stopped);
    EXPECT_THROW(generator.generate({0, 5}, 2, 10, {}, [](std::int32_t) { return true; }), Stopped);
  };
  request_stop();
  expect_stopped();
}

TEST_F(StopTest, LeavesAModelThatComputesAsBefore) {
  const ModelConfig config = model_preset("openmoe-micro");
  auto memory = random_parameters<float>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const RandomBatch batch(2, 8, config.vocab_size, 4);
  memory.memory->zero_gradients();
  const double before = model.forward_backward(batch.view(), 1).total;
  const auto first_gradients = [&] {
    const std::span<float> gradient = numbers_of<float>(memory.views().all[0].gradient).first(100);
    return std::vector<float>(gradient.begin(), gradient.end());
  };
  const std::vector<float> gradient = first_gradients();
  request_stop();
  EXPECT_THROW(model.forward_backward(batch.view(), 1), Stopped);
  withdraw_stop();
  memory.memory->zero_gradients();
  EXPECT_EQ(model.forward_backward(batch.view(), 1).total, before);
  EXPECT_EQ(first_gradients(), gradient);
}

TEST_F(StopTest, BeginsNoFurtherRange) {
  std::atomic<int> begun = 0;
  EXPECT_THROW(for_long_ranges(1000, 1,
                               [&](std::int64_t, std::int64_t) {
                                 ++begun;
                                 request_stop();
                               }),
               Stopped);
  EXPECT_LE(begun, omp_get_max_threads());
}

TEST(ForLongRanges, ThrowsWhatARangeThrewWhenAllAreDone) {
  std::atomic<int> done = 0;
  const auto work = [&](std::int64_t begin, std::int64_t) {
    if (begin == 70) throw std::runtime_error("range 7");
    ++done;
  };
  EXPECT_THROW(for_long_ranges(200, 10, work), std::runtime_error);
  EXPECT_EQ(done, 19);
}

}  // namespace
}  // namespace millrace
