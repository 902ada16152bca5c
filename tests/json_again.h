#pragma once

#include <string>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

/// A text read as what it says.
template <class Value>
Value from_json_text(const std::string& text) {
  return JsonValue::parse(text, {"text.json", 0, ""}).as<Value>();
}

/// A value that was written as JSON and read again.
template <class Value>
Value json_again(const Value& value) {
  return from_json_text<Value>(json_line(value));
}

}  // namespace millrace
