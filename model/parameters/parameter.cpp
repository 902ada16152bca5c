#include "model/parameters/parameter.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "model/parallel.h"
#include "model/parameters/normal_quantile.h"

namespace millrace {

namespace {

constexpr Index kAlignment = 16;  ///< Elements: 64 bytes of float.

Index aligned_size(const ParameterSpec& spec) {
  return range_count(spec.size(), kAlignment) * kAlignment;
}

/// On all threads: the first write to a page is what allocates it.
template <class Number>
void clear(Matrix<Number>& numbers) {
  constexpr Index kGrain = 1 << 16;
  for_ranges(numbers.columns(), kGrain,
             [&](Index begin, Index end) { std::fill(numbers.data() + begin, numbers.data() + end, Number{}); });
}

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

bool has_image(const ParameterSpec& spec) {
  return spec.shape.size() > 1 && !spec.name.ends_with("gate_weight") && spec.name != "model.embed_tokens.weight";
}

template <class Scalar>
Parameter<Scalar>& Parameters<Scalar>::named(const std::string& name) {
  for (Parameter<Scalar>& parameter : all) {
    if (parameter.spec.name == name) return parameter;
  }
  throw std::logic_error("no parameter named " + name);
}

template <class Scalar>
const Parameter<Scalar>& Parameters<Scalar>::named(const std::string& name) const {
  return const_cast<Parameters&>(*this).named(name);
}

template <class Scalar>
ParameterMemory<Scalar>::ParameterMemory(const ModelConfig& config, Gradients gradients, Precision precision) {
  Index total = 0;
  for (ParameterSpec& spec : parameter_specs(config)) {
    total += aligned_size(spec);
    views_.all.push_back({std::move(spec), nullptr, nullptr, nullptr});
  }
  values_.reshape(1, total);
  clear(values_);
  if (gradients == Gradients::allocated) {
    gradients_.reshape(1, total);
    clear(gradients_);
  }
  if (precision == Precision::bf16) {
    if (!std::is_same_v<Scalar, float>) throw std::logic_error("bf16 images of other than float parameters");
    images_.reshape(1, total);
    clear(images_);
  }
  Index at = 0;
  for (Parameter<Scalar>& parameter : views_.all) {
    parameter.value = values_.data() + at;
    if (gradients == Gradients::allocated) parameter.grad = gradients_.data() + at;
    if (has_image(parameter.spec) && precision == Precision::bf16) parameter.image = images_.data() + at;
    at += aligned_size(parameter.spec);
  }
}

template <class Scalar>
void ParameterMemory<Scalar>::zero_gradients() {
  clear(gradients_);
}

template <class Scalar>
void ParameterMemory<Scalar>::round_values() {
  if constexpr (std::is_same_v<Scalar, float>) {
    for (const Parameter<float>& parameter : views_.all) {
      if (parameter.image == nullptr) continue;
      const Index columns = parameter.spec.shape.back();
      const Index rows = parameter.spec.size() / columns;
      round_to({parameter.value, rows, columns}, {parameter.image, rows, columns});
    }
  }
}

template <class Scalar>
void ParameterMemory<Scalar>::initialize(
    const std::function<double(std::uint64_t tensor, std::uint64_t element)>& uniform) {
  constexpr Index kGrain = 1 << 12;
  for (std::size_t tensor = 0; tensor < views_.all.size(); ++tensor) {
    const Parameter<Scalar>& parameter = views_.all[tensor];
    for_long_ranges(parameter.spec.size(), kGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const double number = parameter.spec.initializer.law == Initializer::Law::ones
                                  ? 0.0
                                  : uniform(tensor, static_cast<std::uint64_t>(i));
        parameter.value[i] = draw<Scalar>(parameter.spec.initializer, number);
      }
    });
  }
}

template struct Parameters<float>;
template struct Parameters<double>;
template class ParameterMemory<float>;
template class ParameterMemory<double>;

}  // namespace millrace
