#pragma once

#include <string>
#include <vector>

#include "model/model_config.h"

namespace millrace {

/// A view of one parameter: memory belongs to whoever made it (ParameterMemory, or a mapped file).
template <class Scalar>
struct Parameter {
  ParameterSpec spec;
  Scalar* value = nullptr;
  Scalar* grad = nullptr;  ///< Null where no gradient is wanted (evaluation, generation). backward() adds to it.
};

/// All parameters of a model, in parameter_specs() order.
template <class Scalar>
struct Parameters {
  std::vector<Parameter<Scalar>> all;

  Parameter<Scalar>& named(const std::string& name);
  const Parameter<Scalar>& named(const std::string& name) const;
};

/// Owns values and, if asked, gradients in one allocation each, 64-byte aligned.
template <class Scalar>
class ParameterMemory {
 public:
  enum class Gradients : bool { none, allocated };
  ParameterMemory(const ModelConfig& config, Gradients gradients);

  Parameters<Scalar>& views() { return views_; }
  const Parameters<Scalar>& views() const { return views_; }
  void zero_gradients();
  /// Draws every parameter by its initializer; each element depends on (seed, tensor, element index) only.
  void initialize(std::uint64_t seed);

 private:
  std::vector<Scalar> values_;
  std::vector<Scalar> gradients_;
  Parameters<Scalar> views_;
};

extern template struct Parameters<float>;
extern template struct Parameters<double>;
extern template class ParameterMemory<float>;
extern template class ParameterMemory<double>;

}  // namespace millrace
