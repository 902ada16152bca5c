#pragma once

#include <filesystem>
#include <string>

#include "pipeline/corpora/shard_index.h"

namespace millrace {

/// The text output of `millrace index`: a table of shards (of folders, if there are many), the rejects by cause with
/// the locations of the first ones, and, if `by` names a field, the documents per value of it.
std::string index_text(const ShardIndex& index, const std::string& by);

/// The manifest for a file in `folder`, with the values of `by`, if a field is named.
std::string index_json(const ShardIndex& index, const std::string& by, const std::filesystem::path& folder);

}  // namespace millrace
