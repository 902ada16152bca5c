#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "model/device/buffer.h"
#include "model/parameters/parameter.h"
#include "trainer/weights/weight_files.h"

namespace millrace {

/// A checkpoint's weights, read-only and memory-mapped: on a device that reads this process's memory the parameters are
/// views of the mapped files. A page comes from disk when it is first used and may be dropped again, so a model may be
/// larger than memory, and an expert that no token is sent to is never read. What can be used in place is F32; where
/// the device computes in bf16, matrices that products read, and the embedding, are used in place if they are BF16.
/// Other tensors, or misaligned ones, are converted to a copy in memory by the constructor: in f32, a BF16 file of n
/// bytes takes 2n of memory. On other devices all are copied there, matrices in the type that products read alone, one
/// behind another, so that those of the same input are one for a product (layers/linear.h). The files must not be
/// changed in place meanwhile (replacing them by rename is harmless).
class MappedWeights {
 public:
  /// Throws as WeightFiles does.
  MappedWeights(Device& device, const std::filesystem::path& folder, const ModelConfig& config);

  /// Values must not be written to; there are no gradients. Valid as long as the object.
  Parameters& views() { return views_; }
  std::uint64_t mapped_bytes() const { return mapped_bytes_; }        ///< Of tensors used in place.
  std::uint64_t converted_bytes() const { return converted_bytes_; }  ///< Of copies in memory.

 private:
  /// As the file has it: where it lies, or copied to the device.
  Tensor as_it_is(const ParameterSpec& spec, const TensorView& tensor);
  Tensor copied(const ParameterSpec& spec, const TensorView& tensor);
  void round(Parameter& parameter);
  /// Whether the file's numbers are what a device in bf16 reads.
  bool is_bf16_there(const TensorView& tensor) const;
  /// What is kept of a tensor on a device with memory of its own.
  Type kept_type(const ParameterSpec& spec, const TensorView& tensor) const;
  /// Memory for a tensor's numbers; for those that only an image is made of, until the next ones come.
  void* room(const ParameterSpec& spec, Type type);

  Device& device_;
  WeightFiles files_;
  std::vector<Buffer> copies_;  ///< In this process's memory, one a tensor.
  Buffer there_;                ///< In the device's own, for all; filled up to here.
  std::size_t filled_ = 0;
  Buffer passing_;
  Parameters views_;
  std::uint64_t mapped_bytes_ = 0;
  std::uint64_t converted_bytes_ = 0;
};

}  // namespace millrace
