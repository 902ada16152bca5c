#include "model/normal_quantile.h"

#include <cmath>

namespace millrace {

/// Starts from the rational approximation of Abramowitz and Stegun 26.2.23 (error below 4.5e-4) and refines it by
/// Halley's method on the complementary error function, whose error is cubed at each of two steps.
double normal_quantile(double p) {
  const bool lower = p < 0.5;
  const double tail = lower ? p : 1 - p;
  if (tail <= 0) return lower ? -38.0 : 38.0;
  const double t = std::sqrt(-2 * std::log(tail));
  double x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  for (int step = 0; step < 2; ++step) {
    constexpr double kRootHalf = 0.70710678118654752;
    constexpr double kRootTwoPi = 2.5066282746310005;
    const double error = 0.5 * std::erfc(x * kRootHalf) - tail;      // Of the upper tail's probability.
    const double newton = error * kRootTwoPi * std::exp(x * x / 2);  // x is too small by this, to first order.
    x += newton / (1 - x * newton / 2);
  }
  return lower ? -x : x;
}

}  // namespace millrace
