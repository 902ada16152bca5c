#include "pipeline/seek_json.h"

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

void to_json(Json& json, const SeekPoint& point) {
  json = {point.offset, point.content, point.byte, point.line, point.record};
  if (point.lost > 0) json.push_back(point.lost);
}

void from_json(const JsonValue& json, SeekPoint& point) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() != 5 && numbers.size() != 6)
    json.fail(fmt::format("is a list of {}, expected 5 or 6 numbers", numbers.size()));
  if (numbers[2] < numbers[1])
    json.fail(
        fmt::format("begins a line at byte {}, expected at least {}, where its frame begins", numbers[2], numbers[1]));
  point = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers.size() == 6 ? numbers[5] : 0};
}

}  // namespace millrace
