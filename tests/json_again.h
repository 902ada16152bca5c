#pragma once

#include <string>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

/// Parses a text as a value.
template <class Value>
Value from_json_text(const std::string& text) {
  return JsonValue::parse(text, {"text.json", 0, ""}).as<Value>();
}

/// Writes a value as JSON and reads it back.
template <class Value>
Value json_again(const Value& value) {
  return from_json_text<Value>(json_line(value));
}

}  // namespace millrace
