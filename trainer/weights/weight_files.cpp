#include "trainer/weights/weight_files.h"

#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/parameters/parameter_spec.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"

namespace millrace {

namespace {

namespace fs = std::filesystem;

constexpr WeightNames kSafetensors{"model.safetensors", "model.safetensors.index.json", "model-", ".safetensors"};
constexpr WeightNames kPyTorch{"pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-", ".bin"};

[[noreturn]] void fail(const fs::path& file, const std::string& reason) {
  throw ConfigError(fmt::format("{}: {}", file.string(), reason));
}

/// Tensor name -> file name.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const JsonValue index = JsonValue::read(path, "expected {\"metadata\": {..}, \"weight_map\": {TENSOR: FILE}}");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, name] : index.at("weight_map").members()) {
    const auto file_name = name.as<std::string>();
    if (file_name.empty() || fs::path(file_name).filename() != file_name)
      name.fail(fmt::format("is \"{}\", which is not a file beside the index", file_name));
    files[tensor] = file_name;
  }
  return files;
}

/// Refuses shards that the index does not name: either they or the index belong to another checkpoint.
void refuse_extra_shards(const fs::path& folder, const WeightNames& names, const std::set<std::string>& named) {
  std::set<std::string> extra;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(names.shards_begin) && name.ends_with(names.shards_end) && !named.contains(name))
      extra.insert(std::move(name));
  }
  if (!extra.empty())
    fail(folder / *extra.begin(), fmt::format("a shard that {} does not name; expected only {}", names.index, named));
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
  fail(folder, fmt::format("holds neither {} nor {}", kSafetensors.single, kSafetensors.index));
}

bool is_floating(TensorType type) {
  return type == TensorType::f32 || type == TensorType::bf16 || type == TensorType::f16 || type == TensorType::f64;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder, PyTorch pytorch) : folder_(folder) {
  const WeightNames* names = names_there(pytorch);
  if (names == nullptr) fail_without_weights(folder);
  if (fs::exists(folder / names->single)) {
    open(*names, names->single, nullptr);
  } else {
    open_shards(*names);
  }
}

const WeightNames* WeightFiles::names_there(PyTorch pytorch) const {
  for (const WeightNames* names : {&kSafetensors, &kPyTorch}) {
    if (names == &kPyTorch && pytorch == PyTorch::refused) continue;
    if (fs::exists(folder_ / names->single) || fs::exists(folder_ / names->index)) return names;
  }
  return nullptr;
}

void WeightFiles::open_shards(const WeightNames& names) {
  const Index index = read_index(folder_ / names.index);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : index) shards.insert(file);
  for (const std::string& shard : shards) {
    if (!fs::exists(folder_ / shard)) fail(folder_ / names.index, fmt::format("names {}, which is not there", shard));
  }
  refuse_extra_shards(folder_, names, shards);
  for (const std::string& shard : shards) open(names, shard, &index);
  for (const auto& [tensor, file] : index) {
    if (tensors_.contains(tensor)) continue;
    fail(folder_ / file, fmt::format("tensor \"{}\" is not in it, though {} says so", tensor, names.index));
  }
}

void WeightFiles::open(const WeightNames& names, const std::string& file, const Index* index) {
  const fs::path path = folder_ / file;
  const std::vector<TensorView>& tensors =
      &names == &kPyTorch ? pytorch_.emplace_back(std::make_unique<PyTorchFile>(path))->tensors()
                          : safetensors_.emplace_back(std::make_unique<SafetensorsFile>(path))->tensors();
  for (const TensorView& tensor : tensors) {
    if (index != nullptr) {
      const auto found = index->find(tensor.name);
      if (found == index->end())
        fail(path, fmt::format("tensor \"{}\" is in it, but not in {}", tensor.name, names.index));
      if (found->second != file) {
        fail(path,
             fmt::format("tensor \"{}\" is in it, but {} says it is in {}", tensor.name, names.index, found->second));
      }
    }
    tensors_[tensor.name] = {path, tensor};
  }
}

std::vector<TensorView> WeightFiles::tensors_of(const std::vector<ParameterSpec>& specs) const {
  std::vector<TensorView> tensors;
  std::set<std::string> known;
  for (const ParameterSpec& spec : specs) {
    known.insert(spec.name);
    const auto found = tensors_.find(spec.name);
    if (found == tensors_.end()) {
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
  for (const auto& [name, owned] : tensors_) {
    if (!known.contains(name)) {
      fail(owned.file, fmt::format("tensor \"{}\" is not part of the model that config.json describes", name));
    }
  }
  return tensors;
}

}  // namespace millrace
