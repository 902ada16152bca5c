#include "trainer/weights/mapped_weights.h"

#include <utility>

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

Tensor MappedWeights::as_it_is(const ParameterSpec& spec, const TensorView& tensor) {
  const Type type = tensor.type == TensorType::bf16 ? Type::bf16 : Type::f32;
  if (device_.reads_host_memory()) {
    mapped_bytes_ += tensor.bytes();
    // A Tensor is writable because training writes to it; these mapped pages are read-only.
    return parameter_tensor(spec, const_cast<std::byte*>(tensor.data), type);
  }
  const Tensor there = copies_.emplace_back(device_).shaped(1, spec.size(), type);
  device_.to_device(there.data, tensor.data, tensor.bytes());
  return parameter_tensor(spec, there.data, type);
}

Tensor MappedWeights::copied(const ParameterSpec& spec, const TensorView& tensor) {
  const Tensor memory = copies_.emplace_back(device_).shaped(1, spec.size(), Type::f32);
  load_tensor(device_, tensor, memory);
  converted_bytes_ += static_cast<std::uint64_t>(spec.size()) * sizeof(float);
  return parameter_tensor(spec, memory.data, Type::f32);
}

/// Makes the image that products read. Where all of the device's memory is its own, the value is given up for it.
void MappedWeights::round(Parameter& parameter) {
  const ParameterSpec& spec = parameter.spec;
  Buffer memory(device_);
  parameter.image = parameter_tensor(spec, memory.shaped(1, spec.size(), Type::bf16).data, Type::bf16);
  const Tensor& value = parameter.value;
  device_.run(RoundRows{rows_of(value), rows_of(parameter.image)}, value.batch * value.rows);
  if (device_.reads_host_memory()) {
    copies_.push_back(std::move(memory));
    return;
  }
  parameter.value = {};
  copies_.back() = std::move(memory);
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
      parameter.image = as_it_is(spec, tensor);
    } else if (is_usable_bf16 && is_looked_up(spec)) {
      parameter.value = as_it_is(spec, tensor);
    } else {
      const bool is_usable = tensor.type == TensorType::f32 && is_aligned(tensor);
      parameter.value = is_usable ? as_it_is(spec, tensor) : copied(spec, tensor);
      if (is_bf16 && has_image(spec)) round(parameter);
    }
    views_.all.push_back(std::move(parameter));
  }
}

}  // namespace millrace
