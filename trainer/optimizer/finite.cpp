#include "trainer/optimizer/finite.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/fixed_chunks.h"
#include "model/stop.h"

namespace millrace {
namespace {

constexpr std::size_t kMostNamed = 5;

/// Collects the tensors for the message.
class Found {
 public:
  void look_at(const std::string& name, std::span<const float> values) {
    throw_if_stopped();
    if (all_finite(values)) return;
    if (++tensors_ > kMostNamed) return;
    const auto is_bad = [](float value) { return !std::isfinite(value); };
    const auto first = std::ranges::find_if(values, is_bad);
    const auto count = std::ranges::count_if(values, is_bad);
    text_ +=
        fmt::format("{}tensor \"{}\" holds {} that {} not finite: {} at element {} of {}", text_.empty() ? "" : "; ",
                    name, count == 1 ? "1 number" : fmt::format("{} numbers", count), count == 1 ? "is" : "are",
                    std::isnan(*first) ? "nan" : fmt::format("{}", *first), first - values.begin(), values.size());
  }
  std::string text() const {
    return tensors_ > kMostNamed ? fmt::format("{}; and {} more tensors", text_, tensors_ - kMostNamed) : text_;
  }

 private:
  std::size_t tensors_ = 0;
  std::string text_;
};

}  // namespace

bool all_finite(std::span<const float> values) {
  // A sum of squares of floats cannot overflow a double, so it is finite if and only if they all are.
  return std::isfinite(parallel_sum(static_cast<std::int64_t>(values.size()), [values](std::int64_t i) {
    const double value = values[static_cast<std::size_t>(i)];
    return value * value;
  }));
}

std::string not_finite_in(const Parameters<float>& parameters) {
  Found found;
  for (const Parameter<float>& parameter : parameters.all)
    found.look_at(parameter.spec.name, {parameter.value, static_cast<std::size_t>(parameter.spec.size())});
  return found.text();
}

std::string not_finite_in(const std::vector<StateTensor>& tensors) {
  Found found;
  for (const StateTensor& tensor : tensors)
    found.look_at(tensor.name, {tensor.data, static_cast<std::size_t>(tensor.size())});
  return found.text();
}

}  // namespace millrace
