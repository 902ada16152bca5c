#include "trainer/weights.h"

#include <fstream>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"

namespace millrace {

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Tensor name -> file name.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& reason) { throw ConfigError(path.string() + ": " + reason); };
  std::ifstream file(path, std::ios::binary);
  const nlohmann::json index = nlohmann::json::parse(file, nullptr, false);
  if (index.is_discarded()) fail("not JSON");
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) fail("no weight_map");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, name] : index["weight_map"].items()) {
    if (!name.is_string()) fail(fmt::format("weight_map: the file of \"{}\" is not a string", tensor));
    const auto file_name = name.get<std::string>();
    if (file_name.empty() || std::filesystem::path(file_name).filename() != file_name) {
      fail(fmt::format("weight_map: \"{}\" is not a file beside the index", file_name));
    }
    files[tensor] = file_name;
  }
  return files;
}

}  // namespace

WeightFiles::WeightFiles(const std::filesystem::path& folder) {
  const bool single = std::filesystem::exists(folder / kSingle);
  if (!single && !std::filesystem::exists(folder / kIndex)) {
    throw ConfigError(fmt::format("{}: holds neither {} nor {}", folder.string(), kSingle, kIndex));
  }
  std::map<std::string, std::string> index;
  std::set<std::string> names;
  if (single) {
    names.insert(kSingle);
  } else {
    index = read_index(folder / kIndex);
    for (const auto& [tensor, file] : index) names.insert(file);
  }
  for (const std::string& name : names) {
    if (!std::filesystem::exists(folder / name)) {
      throw ConfigError(fmt::format("{}: names {}, which is not there", (folder / kIndex).string(), name));
    }
    files_.push_back(std::make_unique<SafetensorsFile>(folder / name));
    for (const TensorView& tensor : files_.back()->tensors()) {
      if (single || (index.contains(tensor.name) && index[tensor.name] == name))
        tensors_[tensor.name] = &tensor;
      else
        throw ConfigError(fmt::format("{}: tensor \"{}\" is not in the index", (folder / name).string(), tensor.name));
    }
  }
  for (const auto& [tensor, file] : index) {
    if (!tensors_.contains(tensor)) {
      throw ConfigError(
          fmt::format("{}: tensor \"{}\" is not in it, as the index says", (folder / file).string(), tensor));
    }
  }
}

void load_parameters(const std::filesystem::path& folder, Parameters<float>& parameters) {
  const WeightFiles files(folder);
  const auto fail = [&](const std::string& reason) { throw ConfigError(folder.string() + ": " + reason); };
  std::set<std::string> known;
  for (const Parameter<float>& parameter : parameters.all) {
    const ParameterSpec& spec = parameter.spec;
    known.insert(spec.name);
    const auto found = files.tensors().find(spec.name);
    if (found == files.tensors().end()) fail(fmt::format("tensor \"{}\" is missing", spec.name));
    if (found->second->shape != spec.shape) {
      fail(
          fmt::format("tensor \"{}\" has shape {}; config.json needs {}", spec.name, found->second->shape, spec.shape));
    }
    copy_as_f32(*found->second, parameter.value);
  }
  for (const auto& [name, tensor] : files.tensors()) {
    if (!known.contains(name)) fail(fmt::format("tensor \"{}\" is not part of this model", name));
  }
}

void save_parameters(const std::filesystem::path& folder, const Parameters<float>& parameters) {
  std::vector<TensorView> tensors;
  for (const Parameter<float>& parameter : parameters.all) {
    tensors.push_back(tensor_of(parameter.spec.name, parameter.spec.shape, parameter.value));
  }
  write_safetensors(folder / kSingle, std::move(tensors), {{"format", "pt"}});
}

}  // namespace millrace
