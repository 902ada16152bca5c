#include "model/parameters/initial_values.h"

#include <stdexcept>
#include <type_traits>

#include "model/parallel.h"
#include "model/parameters/normal_quantile.h"

namespace millrace {
namespace {

/// A draw of the law from a uniform number of [0, 1).
template <class Scalar>
Scalar draw(const Initializer& initializer, double uniform) {
  const double open = uniform + 0x1p-54;  // Never 0.
  const auto scaled = [](double p, double scale) {
    if constexpr (std::is_same_v<Scalar, float>) return scaled_normal_quantile(p, scale);
    return static_cast<Scalar>(scale * normal_quantile(p));
  };
  switch (initializer.law) {
    case Initializer::Law::ones:
      return Scalar{1};
    case Initializer::Law::normal:
      return scaled(open, initializer.stddev);
    case Initializer::Law::truncated_normal: {
      // A normal cut at two standard deviations, widened so that its standard deviation is the one asked for.
      constexpr double kBelow = 0.022750131948179207;  // P(X < -2)
      constexpr double kStddevOfCut = 0.87962566103423978;
      return scaled(kBelow + open * (1 - 2 * kBelow), initializer.stddev / kStddevOfCut);
    }
  }
  throw std::logic_error("an initializer without a law");
}

}  // namespace

template <class Scalar>
void draw_values(const ParameterSpec& spec, std::uint64_t tensor, std::int64_t first, std::span<Scalar> values,
                 const UniformNumbers& uniform) {
  constexpr std::int64_t kGrain = 1 << 12;
  for_long_ranges(static_cast<std::int64_t>(values.size()), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const double number =
          spec.initializer.law == Initializer::Law::ones ? 0.0 : uniform(tensor, static_cast<std::uint64_t>(first + i));
      values[static_cast<std::size_t>(i)] = draw<Scalar>(spec.initializer, number);
    }
  });
}

template void draw_values<float>(const ParameterSpec&, std::uint64_t, std::int64_t, std::span<float>,
                                 const UniformNumbers&);
template void draw_values<double>(const ParameterSpec&, std::uint64_t, std::int64_t, std::span<double>,
                                  const UniformNumbers&);

}  // namespace millrace
