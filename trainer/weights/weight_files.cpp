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

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

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

bool is_shard(const std::string& name) {
  return name.starts_with("model-") && name.ends_with(".safetensors");
}

/// Refuses shards that the index does not name: either they or the index belong to another checkpoint.
void refuse_extra_shards(const fs::path& folder, const std::set<std::string>& named) {
  std::set<std::string> extra;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (is_shard(name) && !named.contains(name)) extra.insert(std::move(name));
  }
  if (!extra.empty()) {
    fail(folder / *extra.begin(), fmt::format("a shard that {} does not name; expected only {}", kIndex, named));
  }
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
  fail(folder, fmt::format("holds neither {} nor {}", kSingle, kIndex));
}

bool is_floating(TensorType type) {
  return type == TensorType::f32 || type == TensorType::bf16 || type == TensorType::f16 || type == TensorType::f64;
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) : folder_(folder) {
  if (fs::exists(folder / kSingle)) {
    open(kSingle, nullptr);
    return;
  }
  if (!fs::exists(folder / kIndex)) fail_without_weights(folder);
  const std::map<std::string, std::string> index = read_index(folder / kIndex);
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const std::string& name : names) {
    if (!fs::exists(folder / name)) fail(folder / kIndex, fmt::format("names {}, which is not there", name));
  }
  refuse_extra_shards(folder, names);
  for (const std::string& name : names) open(name, &index);
  for (const auto& [tensor, file] : index) {
    if (owners_.contains(tensor)) continue;
    fail(folder / file, fmt::format("tensor \"{}\" is not in it, though {} says so", tensor, kIndex));
  }
}

void WeightFiles::open(const std::string& name, const std::map<std::string, std::string>* index) {
  files_.push_back(std::make_unique<SafetensorsFile>(folder_ / name));
  const SafetensorsFile& file = *files_.back();
  for (const TensorView& tensor : file.tensors()) {
    if (index != nullptr) {
      const auto found = index->find(tensor.name);
      if (found == index->end()) {
        fail(file.path(), fmt::format("tensor \"{}\" is in it, but not in {}", tensor.name, kIndex));
      }
      if (found->second != name) {
        fail(file.path(),
             fmt::format("tensor \"{}\" is in it, but {} says it is in {}", tensor.name, kIndex, found->second));
      }
    }
    owners_[tensor.name] = &file;
  }
}

std::vector<TensorView> WeightFiles::tensors_of(const std::vector<ParameterSpec>& specs) const {
  std::vector<TensorView> tensors;
  std::set<std::string> known;
  for (const ParameterSpec& spec : specs) {
    known.insert(spec.name);
    const auto owner = owners_.find(spec.name);
    if (owner == owners_.end()) {
      fail(folder_, fmt::format("tensor \"{}\" is missing; config.json needs it, of shape {}", spec.name, spec.shape));
    }
    const TensorView& tensor = owner->second->tensor(spec.name);
    if (tensor.shape != spec.shape) {
      fail(owner->second->path(),
           fmt::format("tensor \"{}\" has shape {}; config.json needs {}", spec.name, tensor.shape, spec.shape));
    }
    if (!is_floating(tensor.type)) {
      fail(owner->second->path(), fmt::format("tensor \"{}\" is {}; expected F32 or BF16 (F16 and F64 are read too)",
                                              spec.name, name_of(tensor.type)));
    }
    tensors.push_back(tensor);
  }
  for (const auto& [name, file] : owners_) {
    if (!known.contains(name)) {
      fail(file->path(), fmt::format("tensor \"{}\" is not part of the model that config.json describes", name));
    }
  }
  return tensors;
}

}  // namespace millrace
