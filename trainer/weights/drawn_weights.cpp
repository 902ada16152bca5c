#include "trainer/weights/drawn_weights.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/bf16.h"
#include "model/parallel.h"
#include "stages/philox.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {
namespace {

constexpr std::int64_t kPiece = 1 << 22;

void round_all(const std::vector<float>& from, std::vector<Bf16>& to) {
  constexpr std::int64_t kGrain = 1 << 16;
  to.resize(from.size());
  for_ranges(static_cast<std::int64_t>(from.size()), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) to[i] = rounded(from[i]);
  });
}

}  // namespace

UniformNumbers first_numbers(std::uint64_t seed) {
  return [seed](std::uint64_t tensor, std::uint64_t element) {
    return ItemRng(seed, Purpose::parameter_init, item_of({tensor, element})).uniform();
  };
}

void write_drawn_weights(const std::filesystem::path& folder, const ModelConfig& config, TensorType type,
                         std::uint64_t seed, const std::function<void(std::uint64_t)>& drawn) {
  if (type != TensorType::f32 && type != TensorType::bf16) throw std::logic_error("weights are drawn as f32 or bf16");
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  const UniformNumbers uniform = first_numbers(seed);
  std::map<std::string, std::size_t> places;
  std::vector<TensorView> tensors;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    places[specs[i].name] = i;
    tensors.push_back({specs[i].name, type, specs[i].shape, nullptr});
  }
  std::uint64_t done = 0;
  std::vector<float> values;
  std::vector<Bf16> images;
  write_tensor_files(folder, kModelFiles, tensors, [&](const TensorView& tensor, AtomicFile& file) {
    const std::size_t place = places.at(tensor.name);
    for (std::int64_t first = 0; first < tensor.elements(); first += kPiece) {
      values.resize(static_cast<std::size_t>(std::min(kPiece, tensor.elements() - first)));
      draw_values<float>(specs[place], place, first, values, uniform);
      if (type == TensorType::bf16) {
        round_all(values, images);
        file.write(images.data(), images.size() * sizeof(Bf16));
      } else {
        file.write(values.data(), values.size() * sizeof(float));
      }
      drawn(done += values.size());
    }
  });
}

}  // namespace millrace
