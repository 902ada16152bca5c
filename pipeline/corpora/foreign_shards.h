#pragma once

#include <string>
#include <vector>

namespace millrace {

/// Looks at the beginning of every file, in parallel. Throws ConfigError if some are no shards but foreign containers:
/// the message says of up to ten what each is, and what to do. `layout` is the one named for them; empty: none.
void refuse_foreign(const std::vector<std::string>& files, const std::string& layout);

}  // namespace millrace
