#include "stages/parquet/thrift_compact.h"

namespace millrace {
namespace {

constexpr int kDeepest = 32;
constexpr std::uint64_t kLongForm = 15;

std::uint64_t to_zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0);
}

std::int64_t from_zigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

}  // namespace

std::uint8_t ThriftReader::byte() {
  if (at_ == bytes_.size()) fail("ends early");
  return static_cast<std::uint8_t>(bytes_[at_++]);
}

std::uint64_t ThriftReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t next = byte();
    value |= static_cast<std::uint64_t>(next & 0x7FU) << shift;
    if (next < 0x80U) return value;
  }
  fail("a number is longer than 64 bits");
}

std::int64_t ThriftReader::integer() {
  return from_zigzag(varint());
}

std::string_view ThriftReader::binary() {
  const std::uint64_t size = varint();
  if (size > bytes_.size() - at_) fail("a text is longer than what is left");
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

ThriftReader::Field ThriftReader::next_field(int last) {
  const std::uint8_t head = byte();
  const auto kind = static_cast<ThriftKind>(head & 0x0FU);
  if (kind == ThriftKind::stop) return {};
  if (kind > ThriftKind::structure) fail("a field is of no known kind");
  const int delta = head >> 4U;
  return {delta != 0 ? last + delta : static_cast<int>(static_cast<std::int16_t>(integer())), kind};
}

ThriftReader::List ThriftReader::list() {
  const std::uint8_t head = byte();
  const std::uint64_t size = head >> 4U == kLongForm ? varint() : head >> 4U;
  const auto kind = static_cast<ThriftKind>(head & 0x0FU);
  if (kind == ThriftKind::stop || kind > ThriftKind::structure) fail("a list is of no known kind");
  if (size > bytes_.size() - at_) fail("a list is longer than what is left");  // No element is shorter than a byte.
  return {size, kind};
}

void ThriftReader::skip_map(int depth) {
  const std::uint64_t size = varint();
  if (size == 0) return;
  if (size > bytes_.size() - at_) fail("a map is longer than what is left");
  const std::uint8_t kinds = byte();
  for (std::uint64_t i = 0; i < size; ++i) {
    skip(static_cast<ThriftKind>(kinds >> 4U), depth);
    skip(static_cast<ThriftKind>(kinds & 0x0FU), depth);
  }
}

void ThriftReader::skip(ThriftKind kind, int depth) {
  if (depth == kDeepest) fail("nested too deep");
  switch (kind) {
    case ThriftKind::yes:
    case ThriftKind::no:
      if (depth > 0) byte();  // In a list they are a byte each; as a field, the field's kind.
      return;
    case ThriftKind::byte:
      byte();
      return;
    case ThriftKind::i16:
    case ThriftKind::i32:
    case ThriftKind::i64:
      varint();
      return;
    case ThriftKind::real:
      for (int i = 0; i < 8; ++i) byte();
      return;
    case ThriftKind::binary:
      binary();
      return;
    case ThriftKind::list:
    case ThriftKind::set:
      for (List elements = list(); elements.size > 0; --elements.size) skip(elements.kind, depth + 1);
      return;
    case ThriftKind::map:
      skip_map(depth + 1);
      return;
    case ThriftKind::structure:
      for (Field field = next_field(0); field.kind != ThriftKind::stop; field = next_field(field.id)) {
        if (field.kind != ThriftKind::yes && field.kind != ThriftKind::no) skip(field.kind, depth + 1);
      }
      return;
    case ThriftKind::stop:
      break;
  }
  fail("a value is of no known kind");
}

void ThriftWriter::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) bytes_ += static_cast<char>((value & 0x7FU) | 0x80U);
  bytes_ += static_cast<char>(value);
}

void ThriftWriter::begin_structure() {
  last_ += '\0';
}

void ThriftWriter::end_structure() {
  bytes_ += '\0';
  last_.pop_back();
}

void ThriftWriter::field(int id, ThriftKind kind) {
  bytes_ += static_cast<char>((id - last_.back()) << 4 | static_cast<int>(kind));  // REQUIRES: at most 15 further on.
  last_.back() = static_cast<char>(id);
}

void ThriftWriter::number(int id, ThriftKind kind, std::int64_t value) {
  field(id, kind);
  varint(to_zigzag(value));
}

void ThriftWriter::binary(int id, std::string_view bytes) {
  field(id, ThriftKind::binary);
  element(bytes);
}

void ThriftWriter::list(int id, ThriftKind kind, std::size_t size) {
  field(id, ThriftKind::list);
  const std::uint64_t shown = size < kLongForm ? size : kLongForm;
  bytes_ += static_cast<char>(shown << 4U | static_cast<std::uint64_t>(kind));
  if (shown == kLongForm) varint(size);
}

void ThriftWriter::element(std::int64_t value) {
  varint(to_zigzag(value));
}

void ThriftWriter::element(std::string_view bytes) {
  varint(bytes.size());
  bytes_ += bytes;
}

}  // namespace millrace
