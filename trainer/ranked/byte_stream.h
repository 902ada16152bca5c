#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace millrace {

/// Values without pointers, one behind the other, as bytes: for ranks of one program on processors of one kind.
class ByteWriter {
 public:
  template <class Value>
  void put(const Value& value) {
    put_all(std::span(&value, 1));
  }
  template <class Value>
  void put_all(std::span<const Value> values) {
    static_assert(std::is_trivially_copyable_v<Value>);
    const std::span<const std::byte> more = std::as_bytes(values);
    bytes_.insert(bytes_.end(), more.begin(), more.end());
  }
  /// With their number in front.
  template <class Value>
  void put_list(const std::vector<Value>& values) {
    put(values.size());
    put_all(std::span<const Value>(values));
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class Value>
  Value get() {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value{};
    std::memcpy(&value, next(sizeof(Value)).data(), sizeof(Value));
    return value;
  }
  template <class Value>
  std::vector<Value> get_list() {
    std::vector<Value> values(get<std::size_t>());
    const std::span<const std::byte> from = next(values.size() * sizeof(Value));
    if (!from.empty()) std::memcpy(values.data(), from.data(), from.size());
    return values;
  }
  /// The next bytes, where they lie.
  std::span<const std::byte> next(std::size_t count) {
    if (count > bytes_.size()) throw std::logic_error("a rank's message is too short");
    const std::span<const std::byte> first = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return first;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace millrace
