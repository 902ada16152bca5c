#include "model/stop.h"

#include <atomic>
#include <stdexcept>

#include <gtest/gtest.h>

#include "model/array.h"
#include "model/ops/gemm.h"
#include "model/ops/product_cut.h"
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
  const auto a = random_matrix<float>(300, 40, 1);
  const auto b = random_matrix<float>(40, 50, 2);
  Matrix<float> c(300, 50);
  request_stop();
  EXPECT_THROW(matmul_nn(a.view(), b.view(), c.view()), Stopped);
  withdraw_stop();
  EXPECT_NO_THROW(matmul_nn(a.view(), b.view(), c.view()));
}

TEST_F(StopTest, EndsEveryPassOfAModel) {
  const ModelConfig config = model_preset("openmoe-micro");
  auto memory = random_parameters<float>(config, 3);
  Transformer<float> model(config, memory.views());
  Generator generator(config, memory.views(), 8);
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
  Transformer<float> model(config, memory.views());
  const RandomBatch batch(2, 8, config.vocab_size, 4);
  memory.zero_gradients();
  const double before = model.forward_backward(batch.view(), 1).total;
  const std::vector<float> gradient(memory.views().all[0].grad, memory.views().all[0].grad + 100);
  request_stop();
  EXPECT_THROW(model.forward_backward(batch.view(), 1), Stopped);
  withdraw_stop();
  memory.zero_gradients();
  EXPECT_EQ(model.forward_backward(batch.view(), 1).total, before);
  EXPECT_EQ(std::vector<float>(memory.views().all[0].grad, memory.views().all[0].grad + 100), gradient);
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

/// Operations between two checks for the request.
double at_a_time(Index longer, Index shorter, Index terms) {
  const ProductCut cut = cut_of(longer, shorter, terms);
  return 2.0 * static_cast<double>(std::min(cut.piece, longer)) * static_cast<double>(shorter) *
         static_cast<double>(std::min(cut.inner, terms));
}

TEST(ProductCut, KeepsWhatIsDoneAtATimeBelowASecond) {
  constexpr double kMost = 0x1p34;
  const std::vector<Index> sides{1, 7, 128, 2048, 8192, 24'576, 256'384, 4'194'304};
  for (const Index longer : sides)
    for (const Index shorter : sides)
      for (const Index terms : sides) {
        if (shorter > longer) continue;
        // One register's rows of 8192 terms are always computed without a check.
        const double least = 2.0 * 16 * 8192 * static_cast<double>(shorter);
        EXPECT_LE(at_a_time(longer, shorter, terms), std::max(kMost, least))
            << longer << " " << shorter << " " << terms;
      }
}

TEST(ProductCut, LeavesWhatTakesLessAsItIs) {
  for (const Index longer : {1, 100, 4096, 32'128})
    for (const Index terms : {1, 256, 4096}) {
      const ProductCut cut = cut_of(longer, 256, terms);
      EXPECT_EQ(cut.inner, terms);
      EXPECT_EQ(cut.piece, std::max<Index>(128, (longer + 255) / 256 * 16)) << longer;
    }
}

/// Further terms are accumulated onto the result.
TEST(ProductCut, OfManyTermsIsTheSumOfItsPartsLong) {
  constexpr Index kSide = 128;
  const Index terms = 2 * cut_of(kSide, kSide, Index{1} << 40).inner;
  const auto a = random_matrix<float>(kSide, terms, 1);
  const auto b = random_matrix<float>(kSide, terms, 2);
  Matrix<float> whole(kSide, kSide), parts(kSide, kSide);
  matmul_nt(a.view(), b.view(), whole.view());
  for (const Index first : {Index{0}, terms / 2})
    matmul_nt(a.view().column_range(first, terms / 2), b.view().column_range(first, terms / 2), parts.view(),
              first == 0 ? Into::overwrite : Into::add);
  EXPECT_TRUE((array_of(whole.data(), kSide * kSide) == array_of(parts.data(), kSide * kSide)).all());
}

}  // namespace
}  // namespace millrace
