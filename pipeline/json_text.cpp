#include "pipeline/json_text.h"

#include <cmath>
#include <iterator>
#include <utility>

namespace millrace {
namespace {

std::string dumped(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Json finite_or_null(double number) {
  return std::isfinite(number) ? Json(number) : Json();
}

std::string json_line(const Json& json) {
  return dumped(json, -1);
}

std::string json_page(const Json& json) {
  return dumped(json, 1) + "\n";
}

std::string json_table(Json object) {
  const Json list = std::exchange(*std::prev(object.end()), Json::array());
  std::string rows;
  for (const Json& row : list) rows += (rows.empty() ? "\n" : ",\n") + json_line(row);
  std::string text = json_line(object);
  text.erase(text.size() - 2);  // The empty list's end, and the object's.
  return text + rows + "\n]}\n";
}

}  // namespace millrace
