#include "trainer/weights/weights.h"

#include "model/parameters/parameter_spec.h"
#include "trainer/weights/safetensors.h"
#include "trainer/weights/weight_files.h"

namespace millrace {

void load_parameters(const std::filesystem::path& folder, Parameters<float>& parameters) {
  const WeightFiles files(folder);
  std::vector<ParameterSpec> specs;
  for (const Parameter<float>& parameter : parameters.all) specs.push_back(parameter.spec);
  const std::vector<TensorView> tensors = files.tensors_of(specs);
  for (std::size_t i = 0; i < tensors.size(); ++i) copy_as_f32(tensors[i], parameters.all[i].value);
}

void save_parameters(const std::filesystem::path& folder, const Parameters<float>& parameters) {
  std::vector<TensorView> tensors;
  for (const Parameter<float>& parameter : parameters.all) {
    tensors.push_back(tensor_of(parameter.spec.name, parameter.spec.shape, parameter.value));
  }
  write_safetensors(folder / "model.safetensors", std::move(tensors), {{"format", "pt"}});
}

}  // namespace millrace
