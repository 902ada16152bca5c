#pragma once

#include <string>

namespace millrace {

/// `vocab show FILE`: what a vocabulary is, as a table or as one JSON object.
void show_vocabulary(const std::string& file, bool json);

}  // namespace millrace
