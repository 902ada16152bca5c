#include "model/parameters/normal_quantile.h"

#include <array>
#include <cmath>

namespace millrace {

namespace {

using Polynomial = std::array<double, 8>;  ///< Highest power first.

double value_of(const Polynomial& polynomial, double r) {
  double sum = 0;
  for (const double coefficient : polynomial) sum = sum * r + coefficient;
  return sum;
}

/// Wichura's algorithm AS 241 (Applied Statistics 37, 1988): rational functions, to about 1e-15 of x.
double rational_normal_quantile(double p) {
  constexpr Polynomial kMiddle{2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                               4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                               1.3314166789178437745e+2, 3.3871328727963666080e+0};
  constexpr Polynomial kMiddleBelow{
      5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4, 2.1213794301586595867e+4,
      5.3941960214247511077e+3, 6.8718700749205790830e+2, 4.2313330701600911252e+1, 1.0};
  constexpr Polynomial kTail{7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                             1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
                             4.63033784615654529590e+0, 1.42343711074968357734e+0};
  constexpr Polynomial kTailBelow{
      1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
      6.89767334985100004550e-1, 1.67638483018380384940e+0, 2.05319162663775882187e+0, 1.0};
  constexpr Polynomial kFarTail{2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
                                2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
                                5.46378491116411436990e+0, 6.65790464350110377720e+0};
  constexpr Polynomial kFarTailBelow{
      2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
      1.48753612908506148525e-2,  1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0};
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * value_of(kMiddle, r) / value_of(kMiddleBelow, r);
  }
  const double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const double x = r <= 5 ? value_of(kTail, r - 1.6) / value_of(kTailBelow, r - 1.6)
                          : value_of(kFarTail, r - 5) / value_of(kFarTailBelow, r - 5);
  return q < 0 ? -x : x;
}

}  // namespace

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

/// If the whole error interval rounds to one float, that is the result.
float scaled_normal_quantile(double p, double scale) {
  constexpr double kOff = 1e-12;        // Of the value.
  constexpr double kOffAtZero = 4e-15;  // Of the scale: normal_quantile() is a difference there.
  const double value = scale * rational_normal_quantile(p);
  const double margin = kOff * std::abs(value) + kOffAtZero * std::abs(scale);
  const auto above = static_cast<float>(value + margin);
  if (above == static_cast<float>(value - margin)) return above;
  return static_cast<float>(scale * normal_quantile(p));
}

}  // namespace millrace
