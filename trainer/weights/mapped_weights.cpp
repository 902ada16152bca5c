#include "trainer/weights/mapped_weights.h"

#include "model/kernels/rows.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

bool is_aligned(const TensorView& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % size_of(tensor.type) == 0;
}

/// All matrices of a tensor as one.
Tensor rows_of(const Tensor& all) {
  return {all.data, all.type, all.batch * all.rows, all.columns, all.columns};
}

}  // namespace

Tensor MappedWeights::in_place(const ParameterSpec& spec, const TensorView& tensor) {
  mapped_bytes_ += tensor.bytes();
  // A Tensor is writable because training writes to it; these mapped pages are read-only.
  return parameter_tensor(spec, const_cast<std::byte*>(tensor.data),
                          tensor.type == TensorType::bf16 ? Type::bf16 : Type::f32);
}

Tensor MappedWeights::copied(const ParameterSpec& spec, const TensorView& tensor) {
  const Tensor memory = copies_.emplace_back(device_).shaped(1, spec.size(), Type::f32);
  load_tensor(device_, tensor, memory);
  converted_bytes_ += static_cast<std::uint64_t>(spec.size()) * sizeof(float);
  return parameter_tensor(spec, memory.data, Type::f32);
}

Tensor MappedWeights::rounded_copy(const ParameterSpec& spec, const Tensor& value) {
  const Tensor image =
      parameter_tensor(spec, copies_.emplace_back(device_).shaped(1, spec.size(), Type::bf16).data, Type::bf16);
  device_.run(RoundRows{rows_of(value), rows_of(image)}, value.batch * value.rows);
  return image;
}

MappedWeights::MappedWeights(Device& device, const std::filesystem::path& folder, const ModelConfig& config)
    : device_(device), files_(folder) {
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  const std::vector<TensorView> tensors = files_.tensors_of(specs);
  const bool is_bf16 = device.precision() == Precision::bf16;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const ParameterSpec& spec = specs[i];
    const TensorView& tensor = tensors[i];
    const bool is_usable_bf16 = is_bf16 && tensor.type == TensorType::bf16 && is_aligned(tensor);
    Parameter parameter{spec, {}, {}, {}};
    if (is_usable_bf16 && has_image(spec)) {
      parameter.image = in_place(spec, tensor);
    } else if (is_usable_bf16 && is_looked_up(spec)) {
      parameter.value = in_place(spec, tensor);
    } else {
      const bool is_usable = tensor.type == TensorType::f32 && is_aligned(tensor);
      parameter.value = is_usable ? in_place(spec, tensor) : copied(spec, tensor);
      if (is_bf16 && has_image(spec)) parameter.image = rounded_copy(spec, parameter.value);
    }
    views_.all.push_back(std::move(parameter));
  }
}

}  // namespace millrace
