#include "pipeline/seek_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_value.h"

namespace millrace {

nlohmann::ordered_json json_of(const SeekPoint& point) {
  nlohmann::ordered_json json{point.offset, point.content, point.byte, point.line, point.record};
  if (point.lost > 0) json.push_back(point.lost);
  return json;
}

SeekPoint seek_point_of(const JsonValue& json) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() != 5 && numbers.size() != 6)
    json.fail(fmt::format("is a list of {}, expected 5 or 6 numbers", numbers.size()));
  if (numbers[2] < numbers[1])
    json.fail(
        fmt::format("begins a line at byte {}, expected at least {}, where its frame begins", numbers[2], numbers[1]));
  return {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers.size() == 6 ? numbers[5] : 0};
}

}  // namespace millrace
