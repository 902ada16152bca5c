#include "pipeline/formats/mds_shard.h"

#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "pipeline/formats/token_file.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

/// A shape byte (dimensions and the width of a length), the length, the values.
template <class Value>
std::string array_of(const std::vector<Value>& values) {
  if (values.empty()) throw std::invalid_argument("MDS holds no empty arrays");
  constexpr std::uint8_t kOneDimension = 1 << 2;
  std::string bytes;
  if (values.size() <= std::numeric_limits<std::uint8_t>::max()) {
    append_number(bytes, kOneDimension);
    append_number(bytes, static_cast<std::uint8_t>(values.size()));
  } else if (values.size() <= std::numeric_limits<std::uint16_t>::max()) {
    append_number(bytes, static_cast<std::uint8_t>(kOneDimension | 1));
    append_number(bytes, static_cast<std::uint16_t>(values.size()));
  } else {
    append_number(bytes, static_cast<std::uint8_t>(kOneDimension | 2));
    append_number(bytes, static_cast<std::uint32_t>(values.size()));
  }
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value));
  return bytes;
}

std::uint64_t size_of_sample(const std::vector<std::string>& values) {
  return std::accumulate(values.begin(), values.end(), 4 * values.size(),
                         [](std::uint64_t sum, const std::string& value) { return sum + value.size(); });
}

}  // namespace

void to_json(nlohmann::json& json, const MdsConfig& config) {
  std::vector<std::string> names, encodings;
  for (const MdsColumn& column : config.columns) {
    names.push_back(column.name);
    encodings.push_back(column.encoding);
  }
  json = {{"column_encodings", encodings},
          {"column_names", names},
          {"column_sizes", std::vector<std::optional<int>>(config.columns.size())},
          {"compression", config.compression.empty() ? nlohmann::json() : nlohmann::json(config.compression)},
          {"format", "mds"},
          {"hashes", config.hashes},
          {"size_limit", config.size_limit},
          {"version", 2}};
}

std::string config_text(const MdsConfig& config) {
  // Python has a blank behind each comma and colon where the library, indenting by 0, has lines and blanks.
  std::string text;
  for (const char c : nlohmann::json(config).dump(0)) {
    if (c != '\n') text += c;
    if (c == '\n' && text.back() == ',') text += ' ';
  }
  return text;
}

std::string mds_array(const std::vector<std::int32_t>& values) {
  return array_of(values);
}
std::string mds_array(const std::vector<float>& values) {
  return array_of(values);
}

void MdsShard::add(const std::vector<std::string>& values) {
  for (const std::string& value : values) append_number(samples_, static_cast<std::uint32_t>(value.size()));
  for (const std::string& value : values) samples_ += value;
  ends_.push_back(samples_.size());
}

std::uint64_t MdsShard::size_with(const std::vector<std::string>& values) const {
  return size_with(std::uint64_t{samples()} + 1) + samples_.size() + size_of_sample(values);
}

std::string MdsShard::bytes() const {
  if (size() > std::numeric_limits<std::uint32_t>::max())
    throw std::length_error("an MDS shard of 4 GiB and more: its offsets are of 32 bits");
  std::string bytes;
  bytes.reserve(size());
  append_number(bytes, samples());
  const std::uint64_t first = size_with(std::uint64_t{samples()});
  append_number(bytes, static_cast<std::uint32_t>(first));
  for (const std::uint64_t end : ends_) append_number(bytes, static_cast<std::uint32_t>(first + end));
  return bytes + config_json_ + samples_;
}

void MdsShard::clear() {
  samples_.clear();
  ends_.clear();
}

}  // namespace millrace
