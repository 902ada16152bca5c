#include "trainer/weights/tensor_files.h"

#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"

namespace millrace {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, const std::string& reason) {
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
void refuse_extra_shards(const fs::path& folder, const TensorFileNames& names, const std::set<std::string>& named) {
  std::set<std::string> extra;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (names.is_shard(name) && !named.contains(name)) extra.insert(std::move(name));
  }
  if (!extra.empty())
    refuse(folder / *extra.begin(),
           fmt::format("a shard that {} does not name; expected only {}", names.index(), named));
}

}  // namespace

std::string TensorFileNames::single() const {
  return fmt::format("{}{}", stem, extension);
}
std::string TensorFileNames::index() const {
  return single() + ".index.json";
}
std::string TensorFileNames::shard(std::size_t number, std::size_t count) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, number, count, extension);
}
bool TensorFileNames::is_shard(std::string_view file) const {
  return file.starts_with(fmt::format("{}-", stem)) && file.ends_with(extension);
}

bool holds_tensor_files(const fs::path& folder, const TensorFileNames& names) {
  return fs::exists(folder / names.single()) || fs::exists(folder / names.index());
}

TensorFiles::TensorFiles(const fs::path& folder, const TensorFileNames& names) : folder_(folder), names_(names) {
  const bool is_single = fs::exists(folder / names.single());
  path_ = folder / (is_single ? names.single() : names.index());
  if (is_single) {
    open(names.single(), nullptr);
  } else if (fs::exists(path_)) {
    open_shards();
  } else {
    refuse(folder, fmt::format("holds neither {} nor {}", names.single(), names.index()));
  }
}

void TensorFiles::open_shards() {
  const Index index = read_index(path_);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : index) shards.insert(file);
  for (const std::string& shard : shards) {
    if (!fs::exists(folder_ / shard)) refuse(path_, fmt::format("names {}, which is not there", shard));
  }
  refuse_extra_shards(folder_, names_, shards);
  for (const std::string& shard : shards) open(shard, &index);
  for (const auto& [tensor, file] : index) {
    if (tensors_.contains(tensor)) continue;
    refuse(folder_ / file, fmt::format("tensor \"{}\" is not in it, though {} says so", tensor, names_.index()));
  }
}

void TensorFiles::open(const std::string& file, const Index* index) {
  const fs::path path = folder_ / file;
  const std::vector<TensorView>& tensors =
      names_.stem == kPyTorchFiles.stem ? pytorch_.emplace_back(std::make_unique<PyTorchFile>(path))->tensors()
                                        : safetensors_.emplace_back(std::make_unique<SafetensorsFile>(path))->tensors();
  for (const TensorView& tensor : tensors) {
    if (index != nullptr) {
      const auto found = index->find(tensor.name);
      if (found == index->end())
        refuse(path, fmt::format("tensor \"{}\" is in it, but not in {}", tensor.name, names_.index()));
      if (found->second != file) {
        refuse(path, fmt::format("tensor \"{}\" is in it, but {} says it is in {}", tensor.name, names_.index(),
                                 found->second));
      }
    }
    tensors_[tensor.name] = {path, tensor};
  }
}

const TensorFiles::Located& TensorFiles::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) refuse(path_, fmt::format("no tensor named \"{}\"", name));
  return found->second;
}

std::uint64_t TensorFiles::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [name, located] : tensors_) sum += located.tensor.bytes();
  return sum;
}

std::vector<TensorFile> cut_into_files(const TensorFileNames& names, const std::vector<TensorView>& tensors,
                                       std::uint64_t most_bytes) {
  std::map<std::string, std::string> metadata;
  if (!names.format.empty()) metadata["format"] = names.format;
  std::vector<TensorFile> files{{"", metadata, {}}};
  std::uint64_t bytes = 0;
  for (const TensorView& tensor : tensors) {
    if (!files.back().tensors.empty() && bytes + tensor.bytes() > most_bytes) {
      files.push_back({"", metadata, {}});
      bytes = 0;
    }
    files.back().tensors.push_back(tensor);
    bytes += tensor.bytes();
  }
  for (std::size_t i = 0; i < files.size(); ++i)
    files[i].name = files.size() == 1 ? names.single() : names.shard(i + 1, files.size());
  return files;
}

void write_index(const fs::path& folder, const TensorFileNames& names, const std::vector<TensorFile>& files) {
  std::uint64_t total = 0;
  std::map<std::string, std::string> map;
  for (const TensorFile& file : files) {
    if (!names.is_shard(file.name)) continue;
    for (const TensorView& tensor : file.tensors) {
      map[tensor.name] = file.name;
      total += tensor.bytes();
    }
  }
  if (map.empty()) return;
  write_file_atomically(folder / names.index(),
                        json_page({{"metadata", {{"total_size", total}}}, {"weight_map", map}}));
}

void write_tensor_files(const fs::path& folder, const TensorFileNames& names, const std::vector<TensorView>& tensors,
                        const TensorWriter& write, std::uint64_t most_bytes) {
  const std::vector<TensorFile> files = cut_into_files(names, tensors, most_bytes);
  for (const TensorFile& file : files) write_safetensors(folder / file.name, file.tensors, file.metadata, write);
  write_index(folder, names, files);
}

}  // namespace millrace
