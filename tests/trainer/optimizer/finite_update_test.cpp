#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/parameters/parameter_spec.h"
#include "tests/trainer/tensors.h"
#include "trainer/optimizer/finite.h"
#include "trainer/optimizer/make_optimizer.h"
#include "trainer/optimizer/optimizer.h"

namespace millrace {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinite = std::numeric_limits<float>::infinity();

/// One tensor of each kind that an optimizer treats differently, after two good updates.
class FiniteUpdateTest : public testing::TestWithParam<const char*> {
 protected:
  FiniteUpdateTest()
      : tensors_({spec("gains", {40}), spec("small", {8, 50}), spec("large", {130, 140}),
                  spec("experts", {3, 20, 30}, true)}) {
    tensors_.draw(1, 0.1, 1);
    TrainConfig config;
    config.optimizer = GetParam();
    optimizer_ = make_optimizer(config, tensors_.views);
    for (int step = 0; step < 2; ++step) update(0.01);
  }

  void update(double rate) { optimizer_->update(tensors_.views, rate); }

  /// All bits of the values and of the optimizer's state.
  std::vector<std::uint32_t> bits() {
    std::vector<std::uint32_t> all;
    const auto add = [&](const float* data, std::int64_t size) {
      const std::size_t at = all.size();
      all.resize(at + static_cast<std::size_t>(size));
      std::memcpy(all.data() + at, data, static_cast<std::size_t>(size) * sizeof(float));
    };
    for (const Parameter<float>& parameter : tensors_.views.all) add(parameter.value, parameter.spec.size());
    for (const StateTensor& tensor : optimizer_->state()) add(tensor.data, tensor.size());
    return all;
  }

  /// Expects that the update is refused, names `parameter` and changes nothing.
  void expect_refused(double rate, const std::string& parameter) {
    const std::vector<std::uint32_t> before = bits();
    const std::uint64_t steps = optimizer_->steps();
    try {
      update(rate);
      ADD_FAILURE() << "not refused";
    } catch (const NotFiniteUpdate& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(parameter));
    }
    EXPECT_EQ(bits(), before);
    EXPECT_EQ(optimizer_->steps(), steps);
  }

  Tensors tensors_;
  std::unique_ptr<Optimizer> optimizer_;
};

TEST_P(FiniteUpdateTest, IsRefusedWhereOneWeightIsNotFiniteAndLeavesAllAsItWas) {
  for (std::size_t tensor = 0; tensor < tensors_.values.size(); ++tensor)
    for (const float bad : {kNaN, kInfinite, -kInfinite}) {
      float& weight = tensors_.values[tensor].back();
      const float kept = weight;
      weight = bad;
      expect_refused(0.01, tensors_.views.all[tensor].spec.name);
      weight = kept;
    }
  EXPECT_NO_THROW(update(0.01));
}

TEST_P(FiniteUpdateTest, IsRefusedWhereAGradientOrTheStateIsNotFinite) {
  for (std::size_t tensor = 0; tensor < tensors_.grads.size(); ++tensor) {
    float& gradient = tensors_.grads[tensor][1];
    const float kept = gradient;
    gradient = kNaN;
    expect_refused(0.01, tensors_.views.all[tensor].spec.name);
    gradient = kept;
  }
  for (const StateTensor& state : optimizer_->state()) {
    const float kept = state.data[0];
    state.data[0] = kNaN;
    expect_refused(0.01, state.name.substr(0, state.name.rfind('.')));
    state.data[0] = kept;
  }
  EXPECT_NO_THROW(update(0.01));
}

TEST_P(FiniteUpdateTest, IsRefusedWithARateThatLeadsBeyondAFloat) {
  for (const double rate : {1e23, 1e36, 1e60, 1e300}) expect_refused(rate, "gains");
}

/// Property, for any sizes of values, gradients and rate: either all results are finite, or nothing changes.
TEST_P(FiniteUpdateTest, LeavesOnlyFiniteNumbersOrChangesNothing) {
  int refused = 0;
  int made = 0;
  for (int trial = 0; trial < 150; ++trial) {
    ItemRng rng(7, Purpose::parameter_init, static_cast<std::uint64_t>(trial));
    const auto magnitude = [&](double from, double to) { return std::pow(10, from + (to - from) * rng.uniform()); };
    const double rate = magnitude(-3, 30);
    tensors_.draw(static_cast<std::uint64_t>(trial), magnitude(-3, 21), magnitude(-20, 17));
    const std::vector<std::uint32_t> before = bits();
    try {
      update(rate);
      ++made;
      for (const auto& tensor : tensors_.values)
        for (const float value : tensor) ASSERT_LE(std::abs(value), 1.01F * kLargestWeight) << trial;
      for (const StateTensor& state : optimizer_->state())
        ASSERT_TRUE(all_finite({state.data, static_cast<std::size_t>(state.size())})) << trial << " " << state.name;
    } catch (const NotFiniteUpdate&) {
      ++refused;
      ASSERT_EQ(bits(), before) << trial;
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(made, 10);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, FiniteUpdateTest, testing::Values("adafactor", "adamw"));

TEST(NotFiniteIn, NamesTensorsWithTheirFirstNumberThatIsNotFinite) {
  Tensors tensors({spec("a", {3}), spec("b", {2, 2}), spec("c", {4})});
  EXPECT_EQ(not_finite_in(tensors.views), "");
  tensors.values[1][2] = kNaN;
  EXPECT_EQ(not_finite_in(tensors.views), "tensor \"b\" holds 1 number that is not finite: nan at element 2 of 4");
  tensors.values[2][0] = tensors.values[2][1] = -kInfinite;
  EXPECT_THAT(not_finite_in(tensors.views),
              testing::HasSubstr("; tensor \"c\" holds 2 numbers that are not finite: -inf at element 0 of 4"));
}

TEST(NotFiniteIn, CountsTheTensorsThatItDoesNotName) {
  std::vector<ParameterSpec> specs;
  for (int i = 0; i < 9; ++i) specs.push_back(spec("t" + std::to_string(i), {1}));
  Tensors tensors(specs);
  for (auto& values : tensors.values) values[0] = kNaN;
  EXPECT_THAT(not_finite_in(tensors.views), testing::EndsWith("; and 4 more tensors"));
}

}  // namespace
}  // namespace millrace
