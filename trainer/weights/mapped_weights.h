#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/parameters/parameter.h"
#include "trainer/weights/weight_files.h"

namespace millrace {

/// A checkpoint's weights, read-only and memory-mapped: the parameters are views of the mapped files. A page comes from
/// disk when it is first used and may be dropped again, so a model may be larger than memory, and an expert that no
/// token is sent to is never read. Only F32 can be used in place; tensors of other types, or misaligned in their file,
/// are converted to a copy in memory by the constructor: a BF16 file of n bytes takes 2n of memory.
/// The files must not be changed in place meanwhile (replacing them by rename is harmless).
class MappedWeights {
 public:
  /// bf16: matrices get bf16 copies for the products, as in a run of that precision; making them reads every weight,
  /// and they take half of the weights' size in memory. Throws as WeightFiles does.
  MappedWeights(const std::filesystem::path& folder, const ModelConfig& config, Precision precision = Precision::f32);

  /// Values must not be written to; there are no gradients. Valid as long as the object.
  Parameters<float>& views() { return views_; }
  std::uint64_t mapped_bytes() const { return mapped_bytes_; }        ///< Of tensors used in place.
  std::uint64_t converted_bytes() const { return converted_bytes_; }  ///< Of copies in memory.

 private:
  WeightFiles files_;
  std::vector<Matrix<float>> copies_;
  std::vector<Matrix<Bf16>> images_;
  Parameters<float> views_;
  std::uint64_t mapped_bytes_ = 0;
  std::uint64_t converted_bytes_ = 0;
};

}  // namespace millrace
