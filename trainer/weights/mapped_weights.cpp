#include "trainer/weights/mapped_weights.h"

#include "model/parameters/parameter_spec.h"

namespace millrace {

namespace {

bool is_usable_in_place(const TensorView& tensor) {
  return tensor.type == TensorType::f32 && reinterpret_cast<std::uintptr_t>(tensor.data) % alignof(float) == 0;
}

}  // namespace

MappedWeights::MappedWeights(const std::filesystem::path& folder, const ModelConfig& config, Precision precision)
    : files_(folder) {
  std::vector<ParameterSpec> specs = parameter_specs(config);
  const std::vector<TensorView> tensors = files_.tensors_of(specs);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& tensor = tensors[i];
    float* value = nullptr;
    if (is_usable_in_place(tensor)) {
      // A Parameter's value is writable because training writes to it; these mapped pages are read-only.
      value = const_cast<float*>(reinterpret_cast<const float*>(tensor.data));
      mapped_bytes_ += tensor.bytes();
    } else {
      copies_.emplace_back(1, tensor.elements());
      value = copies_.back().data();
      copy_as_f32(tensor, value);
      converted_bytes_ += static_cast<std::uint64_t>(tensor.elements()) * sizeof(float);
    }
    Bf16* image = nullptr;
    if (precision == Precision::bf16 && has_image(specs[i])) {
      const Index columns = specs[i].shape.back();
      const Index rows = specs[i].size() / columns;
      image = images_.emplace_back(rows, columns).data();
      round_to({value, rows, columns}, images_.back().view());
    }
    views_.all.push_back({std::move(specs[i]), value, nullptr, image});
  }
}

}  // namespace millrace
