#pragma once

#include <string>

namespace millrace {

/// True if a stands before b when runs of digits compare as numbers: "part-2" before "part-10".
bool natural_less(const std::string& a, const std::string& b);

}  // namespace millrace
