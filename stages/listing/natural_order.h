#pragma once

#include <string>

namespace millrace {

/// True if a sorts before b with runs of digits compared as numbers: "part-2" before "part-10".
bool natural_less(const std::string& a, const std::string& b);

}  // namespace millrace
