#include "trainer/weights/weights.h"

#include <algorithm>

#include "model/parameters/parameter_spec.h"
#include "trainer/weights/weight_files.h"

namespace millrace {

void load_tensor(Device& device, const TensorView& from, const Tensor& to) {
  constexpr std::int64_t kPiece = 1 << 22;
  std::vector<float> piece;
  for (std::int64_t first = 0; first < from.elements(); first += kPiece) {
    const std::int64_t count = std::min(kPiece, from.elements() - first);
    piece.resize(static_cast<std::size_t>(count));
    const std::byte* data = from.data + static_cast<std::size_t>(first) * size_of(from.type);
    copy_as_f32({from.name, from.type, {count}, data}, piece.data());
    device.to_device(static_cast<float*>(to.data) + first, piece.data(), piece.size() * sizeof(float));
  }
}

void load_parameters(Device& device, const std::filesystem::path& folder, const Parameters& parameters) {
  const WeightFiles files(folder);
  std::vector<ParameterSpec> specs;
  for (const Parameter& parameter : parameters.all) specs.push_back(parameter.spec);
  const std::vector<TensorView> tensors = files.tensors_of(specs);
  for (std::size_t i = 0; i < tensors.size(); ++i) load_tensor(device, tensors[i], parameters.all[i].value);
}

}  // namespace millrace
