#include "trainer/weights/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"

namespace millrace {

namespace {

using Header = nlohmann::json;

constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr std::uint64_t kLargestTensor = std::uint64_t{1} << 62;  ///< Bytes: counts fit into a signed 64-bit integer.
constexpr std::size_t kLengthField = 8;

struct TypeRow {
  TensorType type;
  const char* name;
  std::size_t bytes;
};

/// In the reference writer's order.
constexpr std::array<TypeRow, 13> kTypes{{
    {TensorType::u64, "U64", 8},
    {TensorType::i64, "I64", 8},
    {TensorType::f64, "F64", 8},
    {TensorType::f32, "F32", 4},
    {TensorType::u32, "U32", 4},
    {TensorType::i32, "I32", 4},
    {TensorType::bf16, "BF16", 2},
    {TensorType::f16, "F16", 2},
    {TensorType::u16, "U16", 2},
    {TensorType::i16, "I16", 2},
    {TensorType::i8, "I8", 1},
    {TensorType::u8, "U8", 1},
    {TensorType::boolean, "BOOL", 1},
}};

std::size_t row_of(TensorType type) {
  for (std::size_t row = 0; row < kTypes.size(); ++row) {
    if (kTypes[row].type == type) return row;
  }
  throw std::logic_error("a tensor type without a row");
}

/// Reads the header of one file; every refusal names the file.
class HeaderReader {
 public:
  HeaderReader(const std::filesystem::path& path, const MappedFile& file) : path_(path), file_(file) {}

  void read(std::vector<TensorView>& tensors, std::map<std::string, std::string>& metadata) {
    const Header header = parse(header_text());
    if (!header.is_object()) fail("the header is not a JSON object");
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        metadata = metadata_of(entry);
      } else {
        tensors.push_back(tensor_of_entry(name, entry));
      }
    }
    // An empty tensor has the same offset as the next one, so the end is compared, too.
    std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
      return a.data != b.data ? a.data < b.data : a.bytes() < b.bytes();
    });
    check_tiling(tensors);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw ConfigError(fmt::format("{}: damaged safetensors file: {}", path_.string(), reason));
  }

  std::string_view header_text() {
    std::uint64_t length = 0;
    if (file_.size() < kLengthField) fail(fmt::format("{} bytes, too short for a header's length", file_.size()));
    std::memcpy(&length, file_.data(), kLengthField);
    refuse_pytorch();
    if (length > kLargestHeader)
      fail(fmt::format("a header of {} bytes; at most {} are allowed", length, kLargestHeader));
    if (length > file_.size() - kLengthField) {
      fail(fmt::format("the header of {} bytes runs past the end of the file ({} bytes)", length, file_.size()));
    }
    data_ = file_.data() + kLengthField + length;
    data_bytes_ = file_.size() - kLengthField - length;
    const std::string_view text(reinterpret_cast<const char*>(file_.data()) + kLengthField, length);
    if (text.empty() || text.front() != '{') fail("the header does not start with '{'");
    return text;
  }

  /// PyTorch's own files are a zip archive of a pickle or, older, a pickle.
  void refuse_pytorch() const {
    constexpr std::string_view kZip = "PK\x03\x04";
    constexpr std::string_view kPickle = "\x80\x02\x8a";
    const std::string_view start(reinterpret_cast<const char*>(file_.data()), kLengthField);
    if (!start.starts_with(kZip) && !start.starts_with(kPickle)) return;
    throw ConfigError(fmt::format("{}: a PyTorch file (pickle), not safetensors. {}", path_.string(), kHowToConvert));
  }

  Header parse(std::string_view text) const {
    std::vector<std::set<std::string>> names;  // Of each open object.
    const auto refuse_duplicates = [&](int, Header::parse_event_t event, Header& value) {
      if (event == Header::parse_event_t::object_start) names.emplace_back();
      if (event == Header::parse_event_t::object_end) names.pop_back();
      if (event == Header::parse_event_t::key && !names.back().insert(value.get<std::string>()).second) {
        fail(fmt::format("\"{}\" appears twice in the header", value.get<std::string>()));
      }
      return true;
    };
    try {
      return Header::parse(text.begin(), text.end(), refuse_duplicates);
    } catch (const Header::exception& error) {
      fail(json_complaint(text, {"the header", 0, ""}, error));
    }
  }

  std::map<std::string, std::string> metadata_of(const Header& entry) const {
    std::map<std::string, std::string> metadata;
    if (!entry.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail(fmt::format("__metadata__.{} is not a string", key));
      metadata[key] = value.get<std::string>();
    }
    return metadata;
  }

  std::uint64_t natural(const std::string& name, const Header& value, const char* what) const {
    if (!value.is_number_unsigned()) fail(fmt::format("tensor \"{}\": {} is not a natural number", name, what));
    return value.get<std::uint64_t>();
  }

  const Header& field(const std::string& name, const Header& entry, const char* key, Header::value_t type) const {
    const auto found = entry.find(key);
    if (found == entry.end()) fail(fmt::format("tensor \"{}\" has no {}", name, key));
    if (found->type() != type) fail(fmt::format("tensor \"{}\": {} is a {}", name, key, found->type_name()));
    return *found;
  }

  TensorView tensor_of_entry(const std::string& name, const Header& entry) const {
    if (!entry.is_object()) fail(fmt::format("tensor \"{}\" is not described by an object", name));
    const auto type_name = field(name, entry, "dtype", Header::value_t::string).get<std::string>();
    const auto row = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeRow& r) { return type_name == r.name; });
    if (row == kTypes.end()) fail(fmt::format("tensor \"{}\" has dtype {}, which is not known", name, type_name));
    TensorView tensor{name, row->type, {}, nullptr};
    std::uint64_t bytes = row->bytes;
    for (const Header& extent : field(name, entry, "shape", Header::value_t::array)) {
      const std::uint64_t size = natural(name, extent, "an extent of the shape");
      if (size > kLargestTensor || __builtin_mul_overflow(bytes, size, &bytes) || bytes > kLargestTensor) {
        fail(fmt::format("tensor \"{}\": the shape overflows", name));
      }
      tensor.shape.push_back(static_cast<std::int64_t>(size));
    }
    const Header& offsets = field(name, entry, "data_offsets", Header::value_t::array);
    if (offsets.size() != 2) fail(fmt::format("tensor \"{}\": data_offsets has {} entries", name, offsets.size()));
    const std::uint64_t begin = natural(name, offsets[0], "data_offsets");
    const std::uint64_t end = natural(name, offsets[1], "data_offsets");
    if (begin > end || end > data_bytes_) {
      fail(fmt::format("tensor \"{}\": bytes {} to {} of {} bytes of data", name, begin, end, data_bytes_));
    }
    if (end - begin != bytes) {
      fail(fmt::format("tensor \"{}\" has {} bytes; its type and shape need {}", name, end - begin, bytes));
    }
    tensor.data = data_ + begin;
    return tensor;
  }

  void check_tiling(const std::vector<TensorView>& tensors) const {
    const std::byte* at = data_;
    for (const TensorView& tensor : tensors) {
      if (tensor.data < at) fail(fmt::format("tensor \"{}\" overlaps the one before it", tensor.name));
      if (tensor.data > at) fail(fmt::format("a hole of {} bytes before tensor \"{}\"", tensor.data - at, tensor.name));
      at = tensor.data + tensor.bytes();
    }
    if (at != data_ + data_bytes_) fail(fmt::format("{} bytes after the last tensor", data_ + data_bytes_ - at));
  }

  const std::filesystem::path& path_;
  const MappedFile& file_;
  const std::byte* data_ = nullptr;
  std::uint64_t data_bytes_ = 0;
};

}  // namespace

const char* name_of(TensorType type) {
  return kTypes[row_of(type)].name;
}
std::size_t size_of(TensorType type) {
  return kTypes[row_of(type)].bytes;
}

std::int64_t TensorView::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const float* data) {
  return {std::move(name), TensorType::f32, std::move(shape), reinterpret_cast<const std::byte*>(data)};
}
TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const std::int32_t* data) {
  return {std::move(name), TensorType::i32, std::move(shape), reinterpret_cast<const std::byte*>(data)};
}
TensorView tensor_of(std::string name, std::vector<std::int64_t> shape, const std::uint8_t* data) {
  return {std::move(name), TensorType::u8, std::move(shape), reinterpret_cast<const std::byte*>(data)};
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), file_(path) {
  HeaderReader(path_, file_).read(tensors_, metadata_);
}

const TensorView* SafetensorsFile::find(const std::string& name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
  if (const TensorView* found = find(name)) return *found;
  throw ConfigError(fmt::format("{}: no tensor named \"{}\"", path_.string(), name));
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, std::move(tensors), metadata, append_from_memory);
}

void append_from_memory(const TensorView& tensor, AtomicFile& file) {
  file.write(tensor.data, tensor.bytes());
}

SafetensorsLayout layout_of(std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    return a.type != b.type ? row_of(a.type) < row_of(b.type) : a.name < b.name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const TensorView& tensor : tensors) {
    if (header.contains(tensor.name)) throw std::logic_error("two tensors named " + tensor.name);
    const std::uint64_t end = at + tensor.bytes();
    header[tensor.name] = {{"dtype", name_of(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  std::string head(kLengthField, '\0');
  std::memcpy(head.data(), &length, kLengthField);
  return {head + text, std::move(tensors)};
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata, const TensorWriter& write) {
  const SafetensorsLayout layout = layout_of(std::move(tensors), metadata);
  AtomicFile file(path);
  file.write(layout.head);
  for (const TensorView& tensor : layout.tensors) write(tensor, file);
  file.commit();
}

}  // namespace millrace
