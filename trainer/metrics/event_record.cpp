#include "trainer/metrics/event_record.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <vector>

namespace millrace {
namespace {

constexpr std::size_t kBuckets = 30;

/// Least significant byte first.
template <class Unsigned>
std::string little_endian(Unsigned number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFFU);
  return bytes;
}

std::string varint(std::uint64_t number) {
  std::string bytes;
  for (; number >= 0x80; number >>= 7U) bytes += static_cast<char>((number & 0x7FU) | 0x80U);
  return bytes += static_cast<char>(number);
}

enum class Wire : std::uint8_t { number = 0, eight_bytes = 1, counted_bytes = 2, four_bytes = 5 };

std::string key(std::uint64_t field, Wire wire) {
  return varint(field << 3U | static_cast<std::uint64_t>(wire));
}

std::string number_field(std::uint64_t field, std::uint64_t number) {
  return key(field, Wire::number) + varint(number);
}

std::string float_field(std::uint64_t field, float number) {
  return key(field, Wire::four_bytes) + little_endian(std::bit_cast<std::uint32_t>(number));
}

std::string double_field(std::uint64_t field, double number) {
  return key(field, Wire::eight_bytes) + little_endian(std::bit_cast<std::uint64_t>(number));
}

std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return key(field, Wire::counted_bytes) + varint(bytes.size()) + std::string(bytes);
}

std::string doubles_field(std::uint64_t field, std::span<const double> numbers) {
  std::string packed;
  for (const double number : numbers) packed += little_endian(std::bit_cast<std::uint64_t>(number));
  return bytes_field(field, packed);
}

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82F63B78U : crc >> 1U;
    table[byte] = crc;
  }
  return table;
}

std::string masked_crc(std::string_view bytes) {
  return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8U);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = crc_table();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFFU] ^ crc >> 8U;
  return ~crc;
}

std::string event_record(std::string_view event) {
  const std::string length = little_endian(std::uint64_t{event.size()});
  return length + masked_crc(length) + std::string(event) + masked_crc(event);
}

std::string version_record(double wall_time) {
  return event_record(double_field(1, wall_time) + bytes_field(3, "brain.Event:2"));
}

std::string session_start_record(double wall_time, std::uint64_t step) {
  constexpr std::uint64_t kStart = 1;
  return event_record(double_field(1, wall_time) + number_field(2, step) + bytes_field(7, number_field(1, kStart)));
}

void SummaryRecord::scalar(std::string_view tag, double value) {
  values_ += bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
}

void SummaryRecord::histogram(std::string_view tag, std::span<const double> values) {
  const auto [least, largest] = std::ranges::minmax(values);
  const std::size_t buckets = least < largest ? kBuckets : 1;
  const double width = (largest - least) / static_cast<double>(buckets);
  std::vector<double> limits;
  for (std::size_t i = 1; i < buckets; ++i) limits.push_back(least + width * static_cast<double>(i));
  limits.push_back(largest);
  std::vector<double> counts(buckets);
  double sum = 0, square = 0;
  for (const double value : values) {
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(limits, value) - limits.begin())];
    sum += value;
    square += value * value;
  }
  const std::string histogram = double_field(1, least) + double_field(2, largest) +
                                double_field(3, static_cast<double>(values.size())) + double_field(4, sum) +
                                double_field(5, square) + doubles_field(6, limits) + doubles_field(7, counts);
  values_ += bytes_field(1, bytes_field(1, tag) + bytes_field(5, histogram));
}

std::string SummaryRecord::record(double wall_time, std::uint64_t step) const {
  return event_record(double_field(1, wall_time) + number_field(2, step) + bytes_field(5, values_));
}

}  // namespace millrace
