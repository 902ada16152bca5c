#pragma once

#include <string>
#include <vector>

namespace millrace {

/// " (did you mean X?)" for the candidate closest to `word`, or nothing.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace millrace
