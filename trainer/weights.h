#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/parameter.h"
#include "trainer/safetensors.h"

namespace millrace {

/// The weights of a checkpoint folder: model.safetensors, or the files model.safetensors.index.json names.
class WeightFiles {
 public:
  /// Throws ConfigError: neither file there, a damaged one, an index that disagrees with its files.
  explicit WeightFiles(const std::filesystem::path& folder);

  const std::map<std::string, const TensorView*>& tensors() const { return tensors_; }

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const TensorView*> tensors_;
};

/// Fills every parameter's value from a checkpoint folder. Throws ConfigError naming the tensor if one is missing, is
/// not a parameter of this model, or has another shape.
void load_parameters(const std::filesystem::path& folder, Parameters<float>& parameters);

/// Writes model.safetensors into `folder`, atomically, in f32 and in the released names.
void save_parameters(const std::filesystem::path& folder, const Parameters<float>& parameters);

}  // namespace millrace
