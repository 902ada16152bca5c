#include "trainer/weights/pytorch_file.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stages/errors.h"
#include "trainer/weights/pickle.h"

namespace millrace {
namespace {

using Kind = PickleValue::Kind;

constexpr const char* kTensor = "torch._utils._rebuild_tensor_v2";
constexpr const char* kParameter = "torch._utils._rebuild_parameter";

struct StorageRow {
  const char* name;
  TensorType type;
};

constexpr std::array<StorageRow, 10> kStorages{{
    {"torch.DoubleStorage", TensorType::f64},
    {"torch.FloatStorage", TensorType::f32},
    {"torch.HalfStorage", TensorType::f16},
    {"torch.BFloat16Storage", TensorType::bf16},
    {"torch.LongStorage", TensorType::i64},
    {"torch.IntStorage", TensorType::i32},
    {"torch.ShortStorage", TensorType::i16},
    {"torch.CharStorage", TensorType::i8},
    {"torch.ByteStorage", TensorType::u8},
    {"torch.BoolStorage", TensorType::boolean},
}};

const StorageRow* storage_row(const std::string& name) {
  const auto* found = std::ranges::find(kStorages, std::string_view(name), &StorageRow::name);
  return found == kStorages.end() ? nullptr : found;
}

bool describes_tensors(const std::string& name) {
  return name == kTensor || name == kParameter || storage_row(name) != nullptr;
}

/// Reads the dict of one file.
class StateDict {
 public:
  StateDict(const std::filesystem::path& path, const Pickle& pickle, const std::map<std::string, ZipEntry>& storages)
      : path_(path), pickle_(pickle), storages_(storages) {}

  std::vector<TensorView> tensors() {
    const PickleValue& top = pickle_.top();
    if (top.kind != Kind::dict) fail(top, "the file's content is no dict, expected one from names to tensors");
    std::vector<TensorView> tensors;
    std::set<std::string> names;
    for (std::size_t i = 0; i < top.values.size(); i += 2) {
      const PickleValue& key = pickle_[top.values[i]];
      if (key.kind != Kind::text) fail(key, "a key of the dict is no text, expected a tensor's name");
      if (!names.insert(key.text).second) fail(key, fmt::format("a second tensor \"{}\"", key.text));
      name_ = key.text;
      tensors.push_back(tensor(pickle_[top.values[i + 1]]));
    }
    return tensors;
  }
  /// The names of the files in which the tensors lie.
  const std::set<std::string>& used() const { return used_; }

 private:
  [[noreturn]] void fail(const PickleValue& at, const std::string& complaint) const {
    throw ConfigError(fmt::format("{}: byte {}: {}", path_.string(), at.byte, complaint));
  }
  [[noreturn]] void fail_of_tensor(const PickleValue& at, const std::string& complaint) const {
    fail(at, fmt::format("tensor \"{}\": {}", name_, complaint));
  }

  /// The value `index` of a tuple, of this kind.
  const PickleValue& member(const PickleValue& tuple, std::size_t index, Kind kind, const char* what) const {
    if (index >= tuple.values.size() || pickle_[tuple.values[index]].kind != kind)
      fail_of_tensor(tuple, fmt::format("no {} at place {} of its description", what, index + 1));
    return pickle_[tuple.values[index]];
  }

  /// What a call of `name` is given; none: the value is something else.
  const PickleValue* arguments(const PickleValue& value, std::string_view name) const {
    if (value.kind != Kind::call || pickle_[value.values[0]].text != name) return nullptr;
    return &pickle_[value.values[1]];
  }

  std::vector<std::int64_t> numbers(const PickleValue& tuple) const {
    std::vector<std::int64_t> result;
    for (const PickleValue::Place place : tuple.values) {
      const PickleValue& value = pickle_[place];
      if (value.kind != Kind::whole || value.number < 0)
        fail_of_tensor(value, "an extent or a stride that is no whole number from 0 on");
      result.push_back(value.number);
    }
    return result;
  }

  TensorView tensor(const PickleValue& value) {
    if (const PickleValue* of = arguments(value, kParameter)) {
      if (!of->values.empty()) {
        const PickleValue& held = pickle_[of->values[0]];
        if (arguments(held, kTensor) != nullptr) return tensor(held);
      }
    }
    const PickleValue* of = arguments(value, kTensor);
    if (of == nullptr) fail(value, fmt::format("\"{}\" is no tensor, expected nothing but tensors in the dict", name_));
    const PickleValue& id = pickle_[member(*of, 0, Kind::persistent, "storage").values[0]];
    const std::uint64_t first = count(member(*of, 1, Kind::whole, "offset"));
    TensorView view{name_, TensorType::f32, numbers(member(*of, 2, Kind::tuple, "shape")), nullptr};
    const std::vector<std::int64_t> strides = numbers(member(*of, 3, Kind::tuple, "strides"));
    require_row_major(value, view.shape, strides);

    if (id.kind != Kind::tuple) fail_of_tensor(id, "its storage is described by no tuple");
    const StorageRow* row = storage_row(member(id, 1, Kind::name, "type of a storage").text);
    if (row == nullptr) fail_of_tensor(id, "its storage has no type");
    view.type = row->type;
    const std::string& key = member(id, 2, Kind::text, "name of a storage").text;
    const std::uint64_t elements = count(member(id, 4, Kind::whole, "size of a storage"));
    const auto storage = storages_.find(key);
    if (storage == storages_.end()) fail_of_tensor(id, fmt::format("lies in data/{}, which is not in the file", key));
    used_.insert(key);
    return located(value, view, storage->second, first, elements);
  }

  std::uint64_t count(const PickleValue& value) const {
    if (value.number < 0) fail_of_tensor(value, fmt::format("{}, expected a number from 0 on", value.number));
    return static_cast<std::uint64_t>(value.number);
  }

  void require_row_major(const PickleValue& at, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides) const {
    bool is_row_major = shape.size() == strides.size();
    std::int64_t next = 1;
    for (std::size_t axis = shape.size(); is_row_major && axis-- > 0;) {
      is_row_major = shape[axis] <= 1 || strides[axis] == next;
      if (__builtin_mul_overflow(next, std::max<std::int64_t>(shape[axis], 1), &next))
        fail_of_tensor(at, fmt::format("the shape {} overflows", shape));
    }
    if (!is_row_major)
      fail_of_tensor(at, fmt::format("shape {} with strides {}, expected it row-major", shape, strides));
  }

  /// The view, set to element `first` of a storage of so many.
  TensorView located(const PickleValue& at, TensorView view, const ZipEntry& storage, std::uint64_t first,
                     std::uint64_t elements) const {
    const std::uint64_t held = storage.bytes.size() / size_of(view.type);
    if (elements > held)
      fail_of_tensor(at, fmt::format("its storage, {}, is to have {} elements of {}, expected at most the {} that "
                                     "{} bytes hold",
                                     storage.name, elements, name_of(view.type), held, storage.bytes.size()));
    const auto wanted = static_cast<std::uint64_t>(view.elements());
    if (first > elements || wanted > elements - first)
      fail_of_tensor(at, fmt::format("elements {} to {} of a storage of {}", first, first + wanted, elements));
    view.data = reinterpret_cast<const std::byte*>(storage.bytes.data()) + first * size_of(view.type);
    return view;
  }

  const std::filesystem::path& path_;
  const Pickle& pickle_;
  const std::map<std::string, ZipEntry>& storages_;
  std::string name_;
  std::set<std::string> used_;
};

}  // namespace

PyTorchFile::PyTorchFile(const std::filesystem::path& path) : path_(path), file_(path) {
  const std::string_view archive(reinterpret_cast<const char*>(file_.data()), file_.size());
  if (!archive.starts_with("PK"))
    throw ConfigError(fmt::format(
        "{}: byte 0: no zip archive, which PyTorch 1.6 or later writes; load and save it again with such a PyTorch",
        path.string()));
  constexpr std::string_view kPickleName = "/data.pkl";
  std::vector<ZipEntry> all = stored_zip_entries(archive, path);
  const auto pickled = std::ranges::find_if(all, [&](const ZipEntry& e) { return e.name.ends_with(kPickleName); });
  if (pickled == all.end())
    throw ConfigError(
        fmt::format("{}: a zip archive without data.pkl, expected what torch.save writes", path.string()));
  const std::string root = pickled->name.substr(0, pickled->name.size() - kPickleName.size());
  std::map<std::string, ZipEntry> storages;
  for (const ZipEntry& entry : all) {
    if (entry.name == root + "/byteorder" && entry.bytes != "little")
      throw ConfigError(fmt::format("{}: byte {}: numbers in the byte order \"{}\", expected \"little\"", path.string(),
                                    entry.offset, entry.bytes));
    const std::string beginning = root + "/data/";
    if (entry.name.starts_with(beginning)) storages[entry.name.substr(beginning.size())] = entry;
  }
  const Pickle pickle(pickled->bytes, {path, pickled->offset}, describes_tensors);
  StateDict dict(path_, pickle, storages);
  tensors_ = dict.tensors();
  for (const std::string& name : dict.used()) entries_.push_back(storages.at(name));
}

void PyTorchFile::check(const std::function<void(std::uint64_t)>& checked) const {
  constexpr std::size_t kPiece = std::size_t{1} << 22;
  for (const ZipEntry& entry : entries_) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < entry.bytes.size(); at += kPiece) {
      const std::string_view piece = entry.bytes.substr(at, kPiece);
      sum = zip_crc32(sum, piece);
      checked(piece.size());
    }
    if (sum != entry.crc32)
      throw ConfigError(
          fmt::format("{}: byte {}: {} has the checksum {:08x}, expected {:08x}: the file is damaged; fetch it again",
                      path_.string(), entry.offset, entry.name, sum, entry.crc32));
  }
}

std::uint64_t PyTorchFile::bytes() const {
  std::uint64_t sum = 0;
  for (const ZipEntry& entry : entries_) sum += entry.bytes.size();
  return sum;
}

}  // namespace millrace
