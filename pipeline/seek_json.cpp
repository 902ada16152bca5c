#include "pipeline/seek_json.h"

#include <nlohmann/json.hpp>

namespace millrace {

using Json = nlohmann::ordered_json;

Json json_of(const SeekPoint& point) {
  Json json{point.offset, point.content, point.byte, point.line, point.record};
  if (point.lost > 0) json.push_back(point.lost);
  return json;
}

SeekPoint seek_point_of(const Json& json) {
  return {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.size() > 5 ? json.at(5) : Json(0)};
}

}  // namespace millrace
