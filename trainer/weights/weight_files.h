#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// The weights of a checkpoint folder, memory-mapped: model.safetensors or, if that is missing, the shards that
/// model.safetensors.index.json names. Views live as long as the object; any thread may read them.
class WeightFiles {
 public:
  /// Throws ConfigError naming file and tensor: no weights (with advice on conversion if there are PyTorch's), a
  /// damaged file, a shard that is missing or that the index does not name, a tensor in another shard than the index
  /// says. The index's total_size is ignored. Throws std::system_error if a file cannot be read.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// One tensor for each of `specs`, a whole model's, in that order. Throws ConfigError naming the tensor and its file,
  /// what was found and what was expected, if one is missing, is not part of the model, has another shape, or is not
  /// of floating-point numbers.
  std::vector<TensorView> tensors_of(const std::vector<ParameterSpec>& specs) const;

 private:
  /// Adds the tensors of one file, which must be where `index` (null: there is none) says they are.
  void open(const std::string& name, const std::map<std::string, std::string>* index);

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> owners_;  ///< By tensor.
};

}  // namespace millrace
