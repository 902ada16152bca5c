#include "model/lanes/vector_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(ExpOf, IsWithinAUnitInTheLastPlaceOfTheExponential) {
  double worst = 0;
  for (std::uint64_t bits = 0; bits <= 0xffffffffU; bits += 4099) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (!(x > -87.3F && x < 88.7F)) continue;
    const double exact = std::exp(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
    worst = std::max(worst, std::abs(static_cast<double>(exp_of(x)) - exact) / unit);
  }
  EXPECT_LE(worst, 1.01);
}

TEST(ExpOf, IsZeroBelowInfinityAboveAndNotANumberOfNone) {
  for (const float x : {-87.4F, -1e30F, -kInfinity}) EXPECT_EQ(exp_of(x), 0.0F) << x;
  for (const float x : {88.73F, 1e30F, kInfinity}) EXPECT_EQ(exp_of(x), kInfinity) << x;
  for (const std::uint32_t bits : {0x7fc00000U, 0x7f812345U, 0xffffffffU})
    EXPECT_TRUE(std::isnan(exp_of(std::bit_cast<float>(bits)))) << bits;
  EXPECT_EQ(exp_of(0.0F), 1.0F);
}

}  // namespace
}  // namespace millrace
