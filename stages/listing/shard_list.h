#pragma once

#include <string>
#include <vector>

namespace millrace {

/// What a search for shards gave.
struct FoundShards {
  std::vector<std::string> names;        ///< In natural order ("part-2" before "part-10"), each file once.
  std::vector<std::string> passed_over;  ///< What lay among them and is no shard: a line a folder, for a person.
};

/// The shards that patterns name. A pattern is a file; a directory: what kShardNames match below it, at any depth; a
/// glob with * ? [] and **; or @list.txt: a pattern a line, comments from a # that a blank or the line's end follows.
/// Relative patterns start in `directory`, whose own name is no pattern. Links are followed; a file that several
/// names lead to is taken once, under one without a link if there is one. Paths come back relative
/// to `directory` where they lie below it. Of a directory or a glob is passed over what plainly is no shard, unless the
/// glob ends as such names do. Throws ConfigError for a pattern that matches nothing, a FIFO, a socket, a device, and
/// standard input.
FoundShards list_shards(const std::vector<std::string>& patterns, const std::string& directory);

}  // namespace millrace
