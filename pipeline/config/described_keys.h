#pragma once

#include <string>
#include <vector>

#include "pipeline/keys/key_rule.h"

namespace millrace {

/// One table of a file that people write, for docs/keys.md.
struct DescribedTable {
  std::string name;  ///< "[[corpus]]"; empty: the file's top.
  std::vector<KeyRule> keys;
};

/// What mix_file.h reads.
std::vector<DescribedTable> mix_file_tables();
/// What objective_file.h reads.
std::vector<DescribedTable> objective_file_tables();

}  // namespace millrace
