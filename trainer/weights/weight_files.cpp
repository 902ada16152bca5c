#include "trainer/weights/weight_files.h"

#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/parameters/parameter_spec.h"
#include "stages/errors.h"

namespace millrace {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const std::string& reason) {
  throw ConfigError(fmt::format("{}: {}", file.string(), reason));
}

[[noreturn]] void fail_without_weights(const fs::path& folder) {
  std::set<std::string> pytorch;
  if (fs::is_directory(folder)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      const fs::path& path = entry.path();
      if (path.extension() == ".bin" || path.extension() == ".pt" || path.extension() == ".pth") {
        pytorch.insert(path.filename().string());
      }
    }
  }
  if (!pytorch.empty()) {
    fail(folder / *pytorch.begin(), fmt::format("a PyTorch file (pickle), not safetensors. {}", kHowToConvert));
  }
  fail(folder, fmt::format("holds neither {} nor {}", kModelFiles.single(), kModelFiles.index()));
}

const TensorFileNames& names_there(const fs::path& folder, WeightFiles::PyTorch pytorch) {
  if (holds_tensor_files(folder, kModelFiles)) return kModelFiles;
  const bool is_open_to = pytorch == WeightFiles::PyTorch::opened;
  if (is_open_to && holds_tensor_files(folder, kPyTorchFiles)) return kPyTorchFiles;
  fail_without_weights(folder);
}

bool is_floating(TensorType type) {
  return type == TensorType::f32 || type == TensorType::bf16 || type == TensorType::f16 || type == TensorType::f64;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder, PyTorch pytorch)
    : folder_(folder), files_(folder, names_there(folder, pytorch)) {}

std::vector<TensorView> WeightFiles::tensors_of(const std::vector<ParameterSpec>& specs) const {
  std::vector<TensorView> tensors;
  std::set<std::string> known;
  for (const ParameterSpec& spec : specs) {
    known.insert(spec.name);
    const auto found = files_.tensors().find(spec.name);
    if (found == files_.tensors().end()) {
      fail(folder_, fmt::format("tensor \"{}\" is missing; config.json needs it, of shape {}", spec.name, spec.shape));
    }
    const auto& [file, tensor] = found->second;
    if (tensor.shape != spec.shape) {
      fail(file, fmt::format("tensor \"{}\" has shape {}; config.json needs {}", spec.name, tensor.shape, spec.shape));
    }
    if (!is_floating(tensor.type)) {
      fail(file, fmt::format("tensor \"{}\" is {}; expected F32 or BF16 (F16 and F64 are read too)", spec.name,
                             name_of(tensor.type)));
    }
    tensors.push_back(tensor);
  }
  for (const auto& [name, owned] : files_.tensors()) {
    if (!known.contains(name)) {
      fail(owned.file, fmt::format("tensor \"{}\" is not part of the model that config.json describes", name));
    }
  }
  return tensors;
}

}  // namespace millrace
