#pragma once

#include <string>
#include <vector>

namespace millrace {

/// The shards that patterns name, in natural order ("part-2" before "part-10"), each once.
/// A pattern is a file, a directory (its *.jsonl* and *.parquet below, at any depth), a glob with * ? [] and **,
/// or @list.txt (a pattern a line, # comments). Relative patterns start at `directory`.
/// Paths come back relative to `directory` where they lie below it. Files *.rejects.jsonl are shards only where
/// they are named. A pattern that matches nothing: ConfigError naming
/// it.
std::vector<std::string> list_shards(const std::vector<std::string>& patterns, const std::string& directory);

/// True if a stands before b when runs of digits compare as numbers.
bool natural_less(const std::string& a, const std::string& b);

}  // namespace millrace
