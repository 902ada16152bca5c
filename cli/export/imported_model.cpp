#include "cli/export/imported_model.h"

#include <algorithm>
#include <vector>

#include "model/parameters/parameter_spec.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "trainer/weights/converted_weights.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/weight_files.h"

namespace millrace {
namespace {

void check_pytorch(const WeightFiles& files, const ImportProgress& progress) {
  std::uint64_t total = 0;
  for (const auto& file : files.pytorch_files()) total += file->bytes();
  std::uint64_t done = 0;
  for (const auto& file : files.pytorch_files())
    file->check([&](std::uint64_t checked) { progress("checking", "bytes", done += checked, total); });
}

std::uint64_t bytes_of(const TensorView& tensor, const std::optional<TensorType>& type) {
  return static_cast<std::uint64_t>(tensor.elements()) * size_of(type.value_or(tensor.type));
}

/// What config.json calls the weights' type: bf16 if all of them are.
TensorType told_type(const std::vector<TensorView>& tensors, const std::optional<TensorType>& type) {
  const bool is_bf16 = std::ranges::all_of(
      tensors, [&](const TensorView& tensor) { return type.value_or(tensor.type) == TensorType::bf16; });
  return is_bf16 ? TensorType::bf16 : TensorType::f32;
}

}  // namespace

ImportedModel import_model(const ModelImport& what, const ImportProgress& progress) {
  const ModelConfig config = load_model_config(what.source);
  const WeightFiles files(what.source, WeightFiles::PyTorch::opened);
  const std::vector<TensorView> tensors = files.tensors_of(parameter_specs(config));
  check_pytorch(files, progress);

  ImportedModel imported;
  for (const TensorView& tensor : tensors) {
    imported.weights += static_cast<std::uint64_t>(tensor.elements());
    imported.bytes += bytes_of(tensor, what.type);
  }
  AtomicFolder folder(what.checkpoint);
  write_converted(folder.path(), tensors, what.type,
                  [&](std::uint64_t written) { progress("writing", "weights", written, imported.weights); });
  write_file_atomically(folder.path() / "config.json", model_config_json(config, told_type(tensors, what.type)));
  folder.publish();
  return imported;
}

}  // namespace millrace
