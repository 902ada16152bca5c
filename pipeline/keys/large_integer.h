#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// TOML text in which integers that TOML has no room for stand as texts that digits_of_large_integer() knows.
std::string with_large_integers_set_aside(std::string toml);

/// The digits of an integer that was set aside; nothing: `text` is a text.
std::optional<std::string> digits_of_large_integer(std::string_view text);

}  // namespace millrace
