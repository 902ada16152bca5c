#pragma once

#include <string>
#include <vector>

namespace millrace {

/// Looks at the beginning of every file, in parallel. Throws ConfigError if some are foreign containers instead of
/// shards: the message says for up to ten of them what they are and what to do. `layout` is the one named for them;
/// empty: none.
void refuse_foreign(const std::vector<std::string>& files, const std::string& layout);

}  // namespace millrace
