#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/weights/pytorch_file.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// A set of tensors in a folder, under Hugging Face's names: one file STEM.EXT, or several, STEM-00001-of-00012.EXT and
/// so on, with STEM.EXT.index.json, which says for each tensor in which file it is.
struct TensorFileNames {
  std::string_view stem;
  std::string_view extension;
  std::string_view format;  ///< What written files' metadata say as "format"; empty: nothing.

  std::string single() const;
  std::string index() const;
  std::string shard(std::size_t number, std::size_t count) const;  ///< `number` from 1.
  bool is_shard(std::string_view file) const;
};
inline constexpr TensorFileNames kModelFiles{"model", ".safetensors", "pt"};
inline constexpr TensorFileNames kOptimizerFiles{"optimizer", ".safetensors", ""};
inline constexpr TensorFileNames kPyTorchFiles{"pytorch_model", ".bin", ""};

bool holds_tensor_files(const std::filesystem::path& folder, const TensorFileNames& names);

/// Such a set, memory-mapped: the single file or, if that is missing, those that the index names. Views live as long as
/// the object; any thread may read them.
class TensorFiles {
 public:
  /// Throws ConfigError naming file and tensor: neither file nor index, a damaged file, a shard that is missing or that
  /// the index does not name, a tensor in another shard than the index says. The index's total_size is ignored. Throws
  /// std::system_error if a file cannot be read.
  TensorFiles(const std::filesystem::path& folder, const TensorFileNames& names);

  struct Located {
    std::filesystem::path file;
    TensorView tensor;
  };
  const std::map<std::string, Located>& tensors() const { return tensors_; }
  const Located& tensor(const std::string& name) const;  ///< Throws ConfigError if absent.
  std::uint64_t bytes() const;                           ///< Of all tensors.
  /// The single file or the index: what a complaint about the whole set names.
  const std::filesystem::path& path() const { return path_; }

  /// PyTorch's files that are open, for their checksums.
  const std::vector<std::unique_ptr<PyTorchFile>>& pytorch_files() const { return pytorch_; }

 private:
  using Index = std::map<std::string, std::string>;  ///< Tensor name -> file name.

  void open_shards();
  /// Adds the tensors of one file, which must be where the index (null: there is none) says they are.
  void open(const std::string& file, const Index* index);

  std::filesystem::path folder_;
  TensorFileNames names_;
  std::filesystem::path path_;
  std::vector<std::unique_ptr<SafetensorsFile>> safetensors_;
  std::vector<std::unique_ptr<PyTorchFile>> pytorch_;
  std::map<std::string, Located> tensors_;
};

/// One file of a set that is to be written.
struct TensorFile {
  std::string name;
  std::map<std::string, std::string> metadata;
  std::vector<TensorView> tensors;
};

/// Bytes of tensors that a file holds at most, if it holds several.
inline constexpr std::uint64_t kMostTensorBytes = std::uint64_t{4} << 30;

/// Which files `tensors` are written to: in their order, a new file where the next one does not fit; one that is larger
/// than `most_bytes` has a file of its own. All in one: the single file. A function of names, shapes and types alone.
std::vector<TensorFile> cut_into_files(const TensorFileNames& names, const std::vector<TensorView>& tensors,
                                       std::uint64_t most_bytes = kMostTensorBytes);

/// Writes the index of those of `files` that are shards of these names; nothing if none is. Throws as disk_failure.
void write_index(const std::filesystem::path& folder, const TensorFileNames& names,
                 const std::vector<TensorFile>& files);

/// Writes the files of cut_into_files, then their index, each atomically; `write` as in write_safetensors.
void write_tensor_files(const std::filesystem::path& folder, const TensorFileNames& names,
                        const std::vector<TensorView>& tensors, const TensorWriter& write,
                        std::uint64_t most_bytes = kMostTensorBytes);

}  // namespace millrace
