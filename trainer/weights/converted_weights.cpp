#include "trainer/weights/converted_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <fmt/format.h>

#include "model/bf16.h"
#include "stages/errors.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {
namespace {

constexpr std::int64_t kWeightsAtOnce = 1 << 20;

/// Elements `first` to `first + count` of a tensor.
TensorView part_of(const TensorView& tensor, std::int64_t first, std::int64_t count) {
  return {tensor.name, tensor.type, {count}, tensor.data + static_cast<std::size_t>(first) * size_of(tensor.type)};
}

std::vector<Bf16> rounded_all(const std::string& tensor, const std::vector<float>& values) {
  std::vector<Bf16> images;
  images.reserve(values.size());
  for (const float value : values) {
    images.push_back(rounded(value));
    if (!std::isfinite(value) || !std::isfinite(widened(images.back())))
      throw DataError(fmt::format("tensor \"{}\" holds {}, expected numbers that are finite as bf16", tensor, value));
  }
  return images;
}

void append(AtomicFile& out, const TensorView& part, TensorType type) {
  if (part.type == type) return out.write(part.data, part.bytes());
  std::vector<float> values(static_cast<std::size_t>(part.elements()));
  copy_as_f32(part, values.data());
  if (type == TensorType::f32) return out.write(values.data(), values.size() * sizeof(float));
  const std::vector<Bf16> images = rounded_all(part.name, values);
  out.write(images.data(), images.size() * sizeof(Bf16));
}

}  // namespace

void write_converted(const std::filesystem::path& folder, const std::vector<TensorView>& tensors,
                     std::optional<TensorType> type, const std::function<void(std::uint64_t)>& written) {
  std::map<std::string, TensorView> stored;
  std::vector<TensorView> wanted;
  for (const TensorView& tensor : tensors) {
    stored.emplace(tensor.name, tensor);
    wanted.push_back({tensor.name, type.value_or(tensor.type), tensor.shape, nullptr});
  }
  std::uint64_t done = 0;
  write_tensor_files(folder, kModelFiles, wanted, [&](const TensorView& tensor, AtomicFile& out) {
    const TensorView& from = stored.at(tensor.name);
    for (std::int64_t first = 0; first < from.elements(); first += kWeightsAtOnce) {
      const TensorView part = part_of(from, first, std::min(kWeightsAtOnce, from.elements() - first));
      append(out, part, tensor.type);
      written(done += static_cast<std::uint64_t>(part.elements()));
    }
  });
}

}  // namespace millrace
