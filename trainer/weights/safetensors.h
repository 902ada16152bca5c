#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "stages/io/atomic_file.h"
#include "stages/io/mapped_file.h"

namespace millrace {

/// Element types that a file may hold; all can be listed, the floating-point and integer ones converted.
enum class TensorType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

/// The advice in the error message for a PyTorch file.
inline constexpr const char* kHowToConvert = "Convert its folder: millrace import FOLDER --to CHECKPOINT";

const char* name_of(TensorType type);  ///< "F32", as in the file.
std::size_t size_of(TensorType type);  ///< Bytes per element.

/// One tensor's name, type, shape and memory (row-major, little-endian). Does not own the memory.
struct TensorView {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  const std::byte* data = nullptr;  ///< Need not be aligned when it points into a file.

  std::int64_t elements() const;
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(type); }
};

/// Views of values in memory, for write_safetensors.
TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const float* data);
TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const std::int32_t* data);
TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const std::uint8_t* data);

/// A .safetensors file, mapped. Views live as long as the object; any thread may read them.
class SafetensorsFile {
 public:
  /// Throws ConfigError naming the file and the tensor if the file is damaged: a header that violates the format, an
  /// unknown type, a duplicate name, a size that disagrees with the shape, overlaps, holes, a wrong length; or if it is
  /// a PyTorch file.
  /// Throws std::system_error if it cannot be read.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// In the order of their data in the file.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const TensorView* find(const std::string& name) const;    ///< Null if absent.
  const TensorView& tensor(const std::string& name) const;  ///< Throws ConfigError if absent.

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Copies a tensor's elements as f32 or i32. Floats: from F32, BF16, F16, F64; integers: from I32, I64 in range.
/// Throws ConfigError naming tensor and type for others.
void copy_as_f32(const TensorView& tensor, float* out);
void copy_as_i32(const TensorView& tensor, std::int32_t* out);

/// How tensors lie in a file.
struct SafetensorsLayout {
  std::string head;                 ///< What stands before the tensors' bytes.
  std::vector<TensorView> tensors;  ///< In the order of the file, one behind the other.
};
/// By type then name, as the reference writer does. REQUIRES: distinct names.
SafetensorsLayout layout_of(std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata);

/// Writes `path` atomically. Tensors are laid out as by layout_of.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata = {});
/// Appends a tensor's bytes.
using TensorWriter = std::function<void(const TensorView& tensor, AtomicFile& file)>;
void append_from_memory(const TensorView& tensor, AtomicFile& file);
/// The same for tensors that are not in memory: `write` is called with each, in the order of the file.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata, const TensorWriter& write);

}  // namespace millrace
