#pragma once

#include <filesystem>
#include <string>

#include "pipeline/corpora/shard_index.h"

namespace millrace {

/// What `millrace index` prints for people: a table of shards (of folders, if there are many), the rejects by cause
/// with the first ones named, and the documents per value of the field `by`, if one is named.
std::string index_text(const ShardIndex& index, const std::string& by);

/// The manifest for a file in `folder`, with the values of `by`, if a field is named.
std::string index_json(const ShardIndex& index, const std::string& by, const std::filesystem::path& folder);

}  // namespace millrace
