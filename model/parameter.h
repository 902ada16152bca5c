#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/matrix.h"
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

  /// Throws std::logic_error if there is none.
  Parameter<Scalar>& named(const std::string& name);
  const Parameter<Scalar>& named(const std::string& name) const;
};

/// Owns values and, if asked, gradients in one allocation each; every tensor is 64-byte aligned. Values start at 0.
template <class Scalar>
class ParameterMemory {
 public:
  enum class Gradients : bool { none, allocated };
  ParameterMemory(const ModelConfig& config, Gradients gradients);

  Parameters<Scalar>& views() { return views_; }
  const Parameters<Scalar>& views() const { return views_; }
  void zero_gradients();
  /// Draws every parameter by its initializer. `uniform(tensor, element)` is a number in [0, 1) that depends on its
  /// arguments only (tensor: place in parameter_specs(); element: row-major); it is called from several threads.
  void initialize(const std::function<double(std::uint64_t tensor, std::uint64_t element)>& uniform);

 private:
  Matrix<Scalar> values_;
  Matrix<Scalar> gradients_;
  Parameters<Scalar> views_;
};

extern template struct Parameters<float>;
extern template struct Parameters<double>;
extern template class ParameterMemory<float>;
extern template class ParameterMemory<double>;

}  // namespace millrace
