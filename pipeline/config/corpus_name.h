#pragma once

#include <string>
#include <vector>

namespace millrace {

/// Why a corpus cannot be called so; empty if it can. Files and folders are called after corpora: a name is
/// [A-Za-z0-9][A-Za-z0-9._+-]* of at most 237 bytes, and none that a file of ours has, in capitals or not.
std::string why_no_corpus_name(const std::string& name);

/// Throws ConfigError, naming the first, if a shard's path is not UTF-8: no index, log or run folder could name it.
void refuse_shards_without_a_name(const std::vector<std::string>& shards);

/// Throws ConfigError if two of the names differ in nothing but capitals: some file systems take them for one.
void refuse_names_alike(const std::vector<std::string>& names);

}  // namespace millrace
