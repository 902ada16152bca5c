#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {

/// The weights of a checkpoint folder, memory-mapped: model.safetensors or, if that is missing, the shards that
/// model.safetensors.index.json names. Views live as long as the object; any thread may read them.
class WeightFiles {
 public:
  /// Whether PyTorch's files are opened where there are no safetensors: pytorch_model.bin, or the shards of
  /// pytorch_model.bin.index.json.
  enum class PyTorch { refused, opened };

  /// Throws as TensorFiles; without weights with advice on conversion if there are PyTorch's.
  explicit WeightFiles(const std::filesystem::path& folder, PyTorch pytorch = PyTorch::refused);

  /// One tensor for each of `specs`, a whole model's, in that order. Throws ConfigError naming the tensor and its file,
  /// what was found and what was expected, if one is missing, is not part of the model, has another shape, or is not
  /// of floating-point numbers.
  std::vector<TensorView> tensors_of(const std::vector<ParameterSpec>& specs) const;

  /// PyTorch's files that are open, for their checksums.
  const std::vector<std::unique_ptr<PyTorchFile>>& pytorch_files() const { return files_.pytorch_files(); }

 private:
  std::filesystem::path folder_;
  TensorFiles files_;
};

}  // namespace millrace
