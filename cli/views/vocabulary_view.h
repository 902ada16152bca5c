#pragma once

#include <string>

namespace millrace {

/// The output of `vocab show FILE`: a vocabulary's properties, as a table or as one JSON object.
void show_vocabulary(const std::string& file, bool json);

}  // namespace millrace
