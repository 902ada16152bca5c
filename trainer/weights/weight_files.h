#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/weights/pytorch_file.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// The names of the files that hold a folder's weights.
struct WeightNames {
  const char* single;
  const char* index;  ///< Names the shards, if the single one is missing.
  const char* shards_begin;
  const char* shards_end;
};

/// The weights of a checkpoint folder, memory-mapped: model.safetensors or, if that is missing, the shards that
/// model.safetensors.index.json names. Views live as long as the object; any thread may read them.
class WeightFiles {
 public:
  /// Whether PyTorch's files are opened where there are no safetensors: pytorch_model.bin, or the shards of
  /// pytorch_model.bin.index.json.
  enum class PyTorch { refused, opened };

  /// Throws ConfigError naming file and tensor: no weights (with advice on conversion if there are PyTorch's), a
  /// damaged file, a shard that is missing or that the index does not name, a tensor in another shard than the index
  /// says. The index's total_size is ignored. Throws std::system_error if a file cannot be read.
  explicit WeightFiles(const std::filesystem::path& folder, PyTorch pytorch = PyTorch::refused);

  /// One tensor for each of `specs`, a whole model's, in that order. Throws ConfigError naming the tensor and its file,
  /// what was found and what was expected, if one is missing, is not part of the model, has another shape, or is not
  /// of floating-point numbers.
  std::vector<TensorView> tensors_of(const std::vector<ParameterSpec>& specs) const;

  /// PyTorch's files that are open, for their checksums.
  const std::vector<std::unique_ptr<PyTorchFile>>& pytorch_files() const { return pytorch_; }

 private:
  struct Owned {
    std::filesystem::path file;
    TensorView tensor;
  };
  using Index = std::map<std::string, std::string>;  ///< Tensor name -> file name.

  /// The names by which the folder has weights; null: it has none.
  const WeightNames* names_there(PyTorch pytorch) const;
  void open_shards(const WeightNames& names);
  /// Adds the tensors of one file, which must be where the index (null: there is none) says they are.
  void open(const WeightNames& names, const std::string& file, const Index* index);

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> safetensors_;
  std::vector<std::unique_ptr<PyTorchFile>> pytorch_;
  std::map<std::string, Owned> tensors_;
};

}  // namespace millrace
