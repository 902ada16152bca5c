#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/optimizer/finite.h"
#include "model/optimizer/optimizer.h"
#include "tests/model/optimizer/optimizer_tensors.h"

namespace millrace {
namespace {

using namespace test;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// Parameters of each kind after two good updates.
class FiniteUpdateTest : public testing::TestWithParam<const char*> {
 protected:
  FiniteUpdateTest()
      : tensors_(device_, kinds_of_tensors()), optimizer_(optimizer_named(GetParam(), device_, tensors_.views)) {
    tensors_.draw(1, 0.1, 1);
    for (int step = 0; step < 2; ++step) step_of(*optimizer_, 0.01);
  }

  /// Expects that the update is refused, names `parameter` and changes nothing.
  void expect_refused(double rate, const std::string& parameter) {
    const std::vector<double> before = all_numbers(tensors_, *optimizer_);
    const std::uint64_t updates = optimizer_->updates();
    try {
      step_of(*optimizer_, rate);
      ADD_FAILURE() << "not refused";
    } catch (const NotFiniteUpdate& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(parameter));
    }
    expect_unchanged(before);
    EXPECT_EQ(optimizer_->updates(), updates);
  }
  void expect_unchanged(const std::vector<double>& before) const {
    const std::vector<double> after = all_numbers(tensors_, *optimizer_);
    ASSERT_EQ(after.size(), before.size());
    EXPECT_EQ(std::memcmp(after.data(), before.data(), before.size() * sizeof(double)), 0);
  }

  CpuDevice device_{Precision::f32};
  OptimizerTensors tensors_;
  std::unique_ptr<Optimizer> optimizer_;
};

TEST_P(FiniteUpdateTest, IsRefusedWhereOneWeightIsNotFiniteAndLeavesAllAsItWas) {
  for (const Parameter& parameter : tensors_.views.all)
    for (const double bad : {kNaN, kInfinite, -kInfinite}) {
      const auto last = static_cast<std::size_t>(parameter.spec.size() - 1);
      const double kept = put(device_, parameter.value, last, bad);
      expect_refused(0.01, parameter.spec.name);
      put(device_, parameter.value, last, kept);
    }
  EXPECT_NO_THROW(step_of(*optimizer_, 0.01));
}

TEST_P(FiniteUpdateTest, IsRefusedWhereAGradientOrTheStateIsNotFinite) {
  for (const Parameter& parameter : tensors_.views.all) {
    const double kept = put(device_, parameter.gradient, 1, kNaN);
    expect_refused(0.01, parameter.spec.name);
    put(device_, parameter.gradient, 1, kept);
  }
  for (const StateTensor& state : optimizer_->state()) {
    const double kept = put(device_, state.data, 0, kNaN);
    expect_refused(0.01, state.name.substr(0, state.name.rfind('.')));
    put(device_, state.data, 0, kept);
  }
  EXPECT_NO_THROW(step_of(*optimizer_, 0.01));
}

/// Gradients of 1e19 have squares that no float holds.
TEST_P(FiniteUpdateTest, IsRefusedWhereTheStateWouldNotBeFinite) {
  for (const Parameter& parameter : tensors_.views.all) {
    const std::vector<double> kept = numbers_of(device_, parameter.gradient);
    std::vector<double> huge = kept;
    for (double& number : huge) number *= 1e22;
    put_all(device_, parameter.gradient, huge);
    expect_refused(0.01, parameter.spec.name);
    put_all(device_, parameter.gradient, kept);
  }
  EXPECT_NO_THROW(step_of(*optimizer_, 0.01));
}

TEST_P(FiniteUpdateTest, IsRefusedWithARateThatLeadsBeyondAFloat) {
  for (const double rate : {1e23, 1e36, 1e60, 1e300}) expect_refused(rate, "gains");
}

TEST_P(FiniteUpdateTest, CanBeTriedAgainAfterARefusal) {
  optimizer_->gradient_norm();
  EXPECT_THROW(optimizer_->update(1e36, 1), NotFiniteUpdate);
  EXPECT_NO_THROW(optimizer_->update(0.01, 1));
}

/// Property, for any sizes of values, gradients and rate: either all results are finite, or nothing changes.
TEST_P(FiniteUpdateTest, LeavesOnlyFiniteNumbersOrChangesNothing) {
  int refused = 0;
  int made = 0;
  for (std::uint64_t trial = 0; trial < 150; ++trial) {
    std::uint64_t drawn = 0;
    const auto magnitude = [&](double from, double to) {
      return std::pow(10, from + (to - from) * uniform(trial, drawn++));
    };
    const double rate = magnitude(-3, 30);
    const double value_scale = magnitude(-3, 21);
    tensors_.draw(trial, value_scale, magnitude(-20, 21));
    const std::vector<double> before = all_numbers(tensors_, *optimizer_);
    try {
      step_of(*optimizer_, rate);
      ++made;
      for (const double value : tensors_.all_values())
        ASSERT_LE(std::abs(value), 1.01 * static_cast<double>(kLargestWeight)) << trial;
      ASSERT_EQ(not_finite_in(device_, optimizer_->state()), "") << trial;
    } catch (const NotFiniteUpdate&) {
      ++refused;
      expect_unchanged(before);
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(made, 10);
}

INSTANTIATE_TEST_SUITE_P(, FiniteUpdateTest, testing::Values("adafactor", "adamw"),
                         [](const auto& of) { return std::string(of.param); });

TEST(NotFiniteIn, NamesTensorsWithTheirFirstNumberThatIsNotFinite) {
  CpuDevice device(Precision::f32);
  const OptimizerTensors tensors(device, {spec("a", {3}), spec("b", {2, 2}), spec("c", {4})});
  EXPECT_EQ(not_finite_in(device, tensors.views), "");
  put(device, tensors.views.all[1].value, 2, kNaN);
  EXPECT_EQ(not_finite_in(device, tensors.views),
            "tensor \"b\" holds 1 number that is not finite: nan at element 2 of 4");
  put(device, tensors.views.all[2].value, 0, -kInfinite);
  put(device, tensors.views.all[2].value, 1, kInfinite);
  EXPECT_THAT(not_finite_in(device, tensors.views),
              testing::HasSubstr("; tensor \"c\" holds 2 numbers that are not finite: -inf at element 0 of 4"));
}

TEST(NotFiniteIn, FindsANumberAtTheEndOfALargeTensor) {
  CpuDevice device(Precision::f32);
  const OptimizerTensors tensors(device, {spec("e", {3, 700, 1000}, true)});
  put(device, tensors.views.all[0].value, 2'099'999, kInfinite);
  EXPECT_EQ(not_finite_in(device, tensors.views),
            "tensor \"e\" holds 1 number that is not finite: inf at element 2099999 of 2100000");
}

TEST(NotFiniteIn, CountsTheTensorsThatItDoesNotName) {
  std::vector<ParameterSpec> specs;
  for (int i = 0; i < 9; ++i) specs.push_back(spec("t" + std::to_string(i), {1}));
  CpuDevice device(Precision::f32);
  const OptimizerTensors tensors(device, specs);
  for (const Parameter& parameter : tensors.views.all) put(device, parameter.value, 0, kNaN);
  EXPECT_THAT(not_finite_in(device, tensors.views), testing::EndsWith("; and 4 more tensors"));
}

}  // namespace
}  // namespace millrace
