#pragma once

#include <span>
#include <string_view>

namespace millrace {

/// Names of DuckDB's functions and operators whose result depends on their arguments alone: not on randomness, time,
/// settings, files or other rows. In lower case, sorted.
std::span<const std::string_view> pure_functions();
bool is_pure_function(std::string_view name);

/// Those whose last argument is a function of its own, "lambda x: ...".
bool takes_lambda(std::string_view name);

}  // namespace millrace
