#pragma once

#include <string>
#include <vector>

namespace millrace {

/// The result of a search for shards.
struct FoundShards {
  std::vector<std::string> names;        ///< In natural order ("part-2" before "part-10"), each file once.
  std::vector<std::string> passed_over;  ///< Other files found there: one line per folder, for messages.
};

/// The shards that patterns name. A pattern is a file; a directory: what kShardNames match below it, at any depth; a
/// glob with * ? [] and **; or @list.txt: one pattern per line, a # before a blank or at the line's end begins a
/// comment. Relative patterns start in `directory`, whose own name is taken literally. Links are followed; a file with
/// several names is listed once, under one without a link if there is one. Paths below `directory` are returned
/// relative to it. Files that plainly are no shards are passed over in directories and globs, unless the glob itself
/// ends in such a suffix. Throws ConfigError for a pattern that matches nothing, a FIFO, a socket, a device, and
/// standard input.
FoundShards list_shards(const std::vector<std::string>& patterns, const std::string& directory);

}  // namespace millrace
