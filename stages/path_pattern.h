#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace millrace {

/// True if `name` matches `pattern` of * ? [a-z] [!x]; a leading dot must be matched by a dot. No slashes in either.
bool matches_name(const std::string& pattern, const std::string& name);

/// True if there is a wildcard in it.
bool is_pattern(const std::string& text);

/// What exists under the name `pattern`, ** standing for any number of folders. In no particular order.
std::vector<std::filesystem::path> expand_pattern(const std::filesystem::path& pattern);

}  // namespace millrace
