#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/matrix.h"
#include "model/ops/gemm.h"
#include "model/parameters/parameter_spec.h"

namespace millrace {

/// A view of one parameter: memory belongs to whoever made it (ParameterMemory, or a mapped file).
template <class Scalar>
struct Parameter {
  ParameterSpec spec;
  Scalar* value = nullptr;
  Scalar* grad = nullptr;  ///< Null where no gradient is wanted (evaluation, generation). backward() adds to it.
  Bf16* image = nullptr;   ///< Values in bf16, for the products; null where those are in full precision.

  Precision precision() const { return image == nullptr ? Precision::f32 : Precision::bf16; }
};

/// A matrix parameter as a factor of products.
template <class Scalar>
Factor<Scalar> factor_of(const Parameter<Scalar>& parameter) {
  const Index rows = parameter.spec.shape[0];
  const Index columns = parameter.spec.shape[1];
  const View<const Scalar> full(parameter.value, rows, columns);
  if (parameter.image == nullptr) return {full};
  return {full, View<const Bf16>(parameter.image, rows, columns)};
}

/// Whether products read the parameter in bf16 if the precision is bf16: norms and routers compute in full precision,
/// and the embedding is only looked up.
bool has_image(const ParameterSpec& spec);

/// All parameters of a model, in parameter_specs() order.
template <class Scalar>
struct Parameters {
  std::vector<Parameter<Scalar>> all;

  /// Throws std::logic_error if there is no such parameter.
  Parameter<Scalar>& named(const std::string& name);
  const Parameter<Scalar>& named(const std::string& name) const;
};

/// Owns values and, if asked, gradients in one allocation each; every tensor is 64-byte aligned. Values start at 0.
template <class Scalar>
class ParameterMemory {
 public:
  enum class Gradients : bool { none, allocated };
  /// bf16: matrices have bf16 copies, which round_values() must refresh whenever values have changed. For floats only.
  explicit ParameterMemory(const ModelConfig& config, Gradients gradients, Precision precision = Precision::f32);

  Parameters<Scalar>& views() { return views_; }
  const Parameters<Scalar>& views() const { return views_; }
  void zero_gradients();  ///< Throws Stopped (stop.h).
  void round_values();
  /// Draws every parameter by its initializer. `uniform(tensor, element)` is a number in [0, 1) that depends on its
  /// arguments only (tensor: place in parameter_specs(); element: row-major); it is called from several threads. Throws
  /// Stopped (stop.h).
  void initialize(const std::function<double(std::uint64_t tensor, std::uint64_t element)>& uniform);

 private:
  Matrix<Scalar> values_;
  Matrix<Scalar> gradients_;
  Matrix<Bf16> images_;
  Parameters<Scalar> views_;
};

extern template struct Parameters<float>;
extern template struct Parameters<double>;
extern template class ParameterMemory<float>;
extern template class ParameterMemory<double>;

}  // namespace millrace
