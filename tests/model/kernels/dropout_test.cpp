#include "model/kernels/dropout.h"

#include <cmath>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "model/pass/pass.h"

namespace millrace {
namespace {

constexpr Index kLength = 8;
constexpr Index kFeatures = 4000;

/// The factors of a row's features.
std::vector<double> factors(const DropoutMask& mask, Index position) {
  std::vector<double> all;
  for (Index feature = 0; feature < kFeatures; ++feature) all.push_back(mask.factor(mask.row_key(position), feature));
  return all;
}

Dropout dropout(double rate, std::uint64_t seed = 1, std::uint64_t step = 0, std::uint64_t first_row = 0) {
  return {rate, seed, step, first_row};
}

TEST(Dropout, DropsItsShareAndEnlargesTheRest) {
  for (const double rate : {0.05, 0.5, 0.9}) {
    SCOPED_TRACE(rate);
    double dropped = 0;
    for (const double factor : factors(dropout(rate).mask(3, DropoutPlace::hidden, kLength), 0)) {
      dropped += factor == 0;
      EXPECT_TRUE(factor == 0 || factor == 1 / (1 - rate));
    }
    EXPECT_NEAR(dropped / kFeatures, rate, 5 * std::sqrt(rate * (1 - rate) / kFeatures));
  }
}

TEST(Dropout, IsSharedByThePositionsOfARow) {
  const DropoutMask mask = dropout(0.5).mask(3, DropoutPlace::hidden, kLength);
  EXPECT_EQ(factors(mask, 0), factors(mask, kLength - 1));
  EXPECT_NE(factors(mask, 0), factors(mask, kLength));
}

TEST(Dropout, KnowsARowByItsNumberInTheStep) {
  EXPECT_EQ(factors(dropout(0.5).mask(3, DropoutPlace::hidden, kLength), 5 * kLength),
            factors(dropout(0.5, 1, 0, 5).mask(3, DropoutPlace::hidden, kLength), 0));
}

TEST(Dropout, OfAnotherSeedStepLayerPlaceOrRowIsIndependent) {
  std::vector<std::vector<double>> all;
  for (const std::uint64_t seed : {0, 1, 2})
    for (const std::uint64_t step : {0, 1, 2})
      for (const int layer : {-1, 0, 1})
        for (const DropoutPlace place : {DropoutPlace::attention, DropoutPlace::hidden})
          for (const std::uint64_t row : {0, 1})
            all.push_back(factors(dropout(0.5, seed, step, row).mask(layer, place, kLength), 0));
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t other = 0; other < i; ++other) {
      double equal = 0;
      for (std::size_t j = 0; j < all[i].size(); ++j) equal += all[i][j] == all[other][j];
      EXPECT_NEAR(equal / kFeatures, 0.5, 5 * 0.5 / std::sqrt(kFeatures)) << i << " and " << other;
    }
  }
}

TEST(Dropout, OfRateZeroIsNone) {
  EXPECT_FALSE(dropout(0).mask(3, DropoutPlace::hidden, kLength));
  EXPECT_THROW(dropout(1).mask(3, DropoutPlace::hidden, kLength), std::logic_error);
}

}  // namespace
}  // namespace millrace
