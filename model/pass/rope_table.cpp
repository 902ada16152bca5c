#include "model/pass/rope_table.h"

#include <cmath>
#include <vector>

namespace millrace {
namespace {

template <class Real, class Function>
void fill(Device& device, const Tensor& table, double theta, const Function& function) {
  std::vector<Real> numbers(static_cast<std::size_t>(table.size()));
  for (Index j = 0; j < table.columns; ++j) {
    const double frequency = std::pow(theta, -static_cast<double>(j) / static_cast<double>(table.columns));
    for (Index position = 0; position < table.rows; ++position)
      numbers[static_cast<std::size_t>(position * table.columns + j)] =
          static_cast<Real>(function(static_cast<double>(position) * frequency));
  }
  device.to_device(table.data, numbers.data(), numbers.size() * sizeof(Real));
}

}  // namespace

void RopeTable::reserve(std::int32_t positions) {
  if (cosine_.tensor().rows >= positions) return;
  const auto sin = [](double angle) { return std::sin(angle); };
  const auto cos = [](double angle) { return std::cos(angle); };
  const Tensor cosine = cosine_.shaped(positions, head_dim_ / 2, device_.real());
  const Tensor sine = sine_.shaped(positions, head_dim_ / 2, device_.real());
  if (device_.real() == Type::f64) {
    fill<double>(device_, cosine, theta_, cos);
    fill<double>(device_, sine, theta_, sin);
  } else {
    fill<float>(device_, cosine, theta_, cos);
    fill<float>(device_, sine, theta_, sin);
  }
}

}  // namespace millrace
