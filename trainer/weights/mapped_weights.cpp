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

/// Tensors lie one behind another, but at places that anything may have.
std::size_t room_bytes(const ParameterSpec& spec, Type type) {
  constexpr std::size_t kMultiple = 256;
  const std::size_t bytes = static_cast<std::size_t>(spec.size()) * bytes_of(type);
  return (bytes + kMultiple - 1) / kMultiple * kMultiple;
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
  void* there = room(spec, type);
  device_.to_device(there, tensor.data, tensor.bytes());
  return parameter_tensor(spec, there, type);
}

Tensor MappedWeights::copied(const ParameterSpec& spec, const TensorView& tensor) {
  const Tensor memory{room(spec, Type::f32), Type::f32, 1, spec.size(), spec.size()};
  load_tensor(device_, tensor, memory);
  converted_bytes_ += static_cast<std::uint64_t>(spec.size()) * sizeof(float);
  return parameter_tensor(spec, memory.data, Type::f32);
}

/// Makes the image that products read. On a device with memory of its own, nothing else is kept.
void MappedWeights::round(Parameter& parameter) {
  parameter.image = parameter_tensor(parameter.spec, room(parameter.spec, Type::bf16), Type::bf16);
  const Tensor& value = parameter.value;
  device_.run(RoundRows{rows_of(value), rows_of(parameter.image)}, value.batch * value.rows);
  if (!device_.reads_host_memory()) parameter.value = {};
}

bool MappedWeights::is_bf16_there(const TensorView& tensor) const {
  return device_.precision() == Precision::bf16 && tensor.type == TensorType::bf16 && is_aligned(tensor);
}

Type MappedWeights::kept_type(const ParameterSpec& spec, const TensorView& tensor) const {
  const bool is_image = device_.precision() == Precision::bf16 && has_image(spec);
  return is_image || (is_bf16_there(tensor) && is_looked_up(spec)) ? Type::bf16 : Type::f32;
}

void* MappedWeights::room(const ParameterSpec& spec, Type type) {
  if (device_.reads_host_memory()) return copies_.emplace_back(device_).shaped(1, spec.size(), type).data;
  if (type == Type::f32 && device_.precision() == Precision::bf16 && has_image(spec))
    return passing_.shaped(1, spec.size(), type).data;
  const std::size_t place = filled_;
  filled_ += room_bytes(spec, type);
  return static_cast<std::byte*>(there_.tensor().data) + place;
}

MappedWeights::MappedWeights(Device& device, const std::filesystem::path& folder, const ModelConfig& config)
    : device_(device), files_(folder), there_(device), passing_(device) {
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  const std::vector<TensorView> tensors = files_.tensors_of(specs);
  const bool is_bf16 = device.precision() == Precision::bf16;
  if (!device.reads_host_memory()) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) bytes += room_bytes(specs[i], kept_type(specs[i], tensors[i]));
    there_.shaped(1, static_cast<Index>(bytes), Type::u8);
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const ParameterSpec& spec = specs[i];
    const TensorView& tensor = tensors[i];
    const bool is_usable_bf16 = is_bf16_there(tensor);
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
