#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace millrace {

/// The kinds of values in Thrift's compact protocol, which Parquet's footers are written in.
enum class ThriftKind : std::uint8_t {
  stop = 0,
  yes = 1,  ///< In a field: true. In a list: its elements are booleans.
  no = 2,
  byte = 3,
  i16 = 4,
  i32 = 5,
  i64 = 6,
  real = 7,
  binary = 8,
  list = 9,
  set = 10,
  map = 11,
  structure = 12,
};

/// The bytes are malformed at offset `at`.
struct ThriftError : std::runtime_error {
  ThriftError(const std::string& message, std::size_t at_) : std::runtime_error(message), at(at_) {}
  std::size_t at;
};

/// Reads values sequentially; the caller knows what to expect and skips the rest. Throws ThriftError if the bytes end
/// early or nest deeper than Parquet ever does.
class ThriftReader {
 public:
  explicit ThriftReader(std::string_view bytes) : bytes_(bytes) {}

  struct Field {
    int id = 0;
    ThriftKind kind = ThriftKind::stop;
  };
  /// The next field of a structure whose last field was `last`; of kind stop at its end.
  Field next_field(int last);
  struct List {
    std::size_t size = 0;
    ThriftKind kind = ThriftKind::stop;
  };
  List list();
  std::int64_t integer();  ///< i16, i32 or i64.
  std::string_view binary();
  void skip(ThriftKind kind) { skip(kind, 0); }

  std::size_t at() const { return at_; }
  /// What was read since `begin`, an earlier at().
  std::string_view since(std::size_t begin) const { return bytes_.substr(begin, at_ - begin); }
  [[noreturn]] void fail(const std::string& message) const { throw ThriftError(message, at_); }

 private:
  void skip(ThriftKind kind, int depth);
  void skip_map(int depth);
  std::uint8_t byte();
  std::uint64_t varint();

  std::string_view bytes_;
  std::size_t at_ = 0;
};

/// Writes the same protocol. Call begin_structure, then write fields in ascending id order, then end_structure.
class ThriftWriter {
 public:
  void begin_structure();
  void end_structure();
  void i32(int id, std::int64_t value) { number(id, ThriftKind::i32, value); }
  void i64(int id, std::int64_t value) { number(id, ThriftKind::i64, value); }
  void binary(int id, std::string_view bytes);
  /// A field that holds a list: its elements follow, each by one of the calls below, or as a structure.
  void list(int id, ThriftKind kind, std::size_t size);
  void element(std::int64_t value);
  void element(std::string_view bytes);
  /// A field that holds a structure: begin_structure() follows, or raw bytes of one.
  void field(int id, ThriftKind kind);
  void raw(std::string_view bytes) { bytes_ += bytes; }

  const std::string& bytes() const { return bytes_; }

 private:
  void number(int id, ThriftKind kind, std::int64_t value);
  void varint(std::uint64_t value);

  std::string bytes_;
  std::string last_;  // Last field id of each open structure; Parquet's are below 128.
};

}  // namespace millrace
