#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/device/buffer.h"
#include "model/device/device.h"
#include "model/parameters/initial_values.h"
#include "model/parameters/parameter_spec.h"
#include "model/tensor.h"

namespace millrace {

/// One parameter: views of memory that belongs to whoever made it (ParameterMemory, or a mapped file). Vectors are a
/// row; tensors of all experts are a batch of matrices.
struct Parameter {
  ParameterSpec spec;
  Tensor value;  ///< Device::real(). Of mapped files: none where there is an image, and the embedding may be in bf16.
  Tensor gradient;  ///< Likewise; none where no gradient is wanted (evaluation, generation). backward() adds to it.
  Tensor image;     ///< Values in bf16, for the products; none where those are in full precision.

  Tensor factor() const { return image ? image : value; }  ///< What products read.
};

/// A view of a parameter's numbers, which lie in the checkpoint's order.
Tensor parameter_tensor(const ParameterSpec& spec, void* data, Type type);

/// Whether products read the parameter in bf16 if the precision is bf16: norms and routers compute in full precision,
/// and the embedding is only looked up.
bool has_image(const ParameterSpec& spec);
bool is_looked_up(const ParameterSpec& spec);  ///< The embedding.

/// The parameters of a model, or of some of its layers, in parameter_specs() order.
struct Parameters {
  std::vector<Parameter> all;

  /// Throws std::logic_error if there is no such parameter.
  const Parameter& named(const std::string& name) const;
};

/// Owns values and, if asked, gradients in one allocation each; every tensor is 64-byte aligned. Values start at 0.
/// Each tensor is cleared for itself, so that on a processor its pages lie near the threads that have those rows in
/// products and updates.
class ParameterMemory {
 public:
  enum class Gradients : bool { none, allocated };
  /// With Precision::bf16, matrices have images, which round_values() must refresh whenever values have changed.
  ParameterMemory(Device& device, const ModelConfig& config, Gradients gradients);
  ParameterMemory(Device& device, const std::vector<ParameterSpec>& specs, Gradients gradients);
  /// With room for so many further gradients: of all tensors, and of all but the experts'.
  struct MoreGradients {
    int whole = 0;
    int shared = 0;
  };
  ParameterMemory(Device& device, const std::vector<ParameterSpec>& specs, Gradients gradients,
                  const MoreGradients& more);

  const Parameters& views() const { return views_; }
  void zero_gradients();  ///< The parameters' own. Throws Stopped (stop.h).
  /// The further gradients: their numbers without gaps, (1, count) real. Number 0 is that of the parameters. Those of
  /// all tensors hold the shared ones in front.
  Tensor whole_gradients(int number) const;
  Tensor shared_gradients(int number) const;
  void round_values();
  /// Draws every parameter by its initializer. Throws Stopped (stop.h).
  void initialize(const UniformNumbers& uniform);

 private:
  Device& device_;
  Index all_ = 0;     ///< Numbers, with what lies between tensors.
  Index shared_ = 0;  ///< Of all tensors but the experts', which come first.
  int whole_ = 0;     ///< Further gradients of all.
  Buffer values_, gradients_, images_;
  Parameters views_;
};

}  // namespace millrace
