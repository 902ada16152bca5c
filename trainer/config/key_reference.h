#pragma once

#include <string>

namespace millrace {

/// docs/keys.md: every key of run, mix and objective files, as Markdown.
std::string key_reference();

}  // namespace millrace
