#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "stages/listing/shard_names.h"

namespace millrace {

/// What a search for shards passed over, folder by folder.
class PassedOverList {
 public:
  /// Adding the same file again changes nothing.
  void add(const std::filesystem::path& folder, const std::string& name, PassedOver why);
  void add(const PassedOverList& list);
  /// Another pattern matched it after all.
  void remove(const std::filesystem::path& file);
  bool empty() const { return folders_.empty(); }

  /// One line per folder: the number of each kind and up to ten names, "data/web: unfinished or temporary: 2 (a.tmp,
  /// b~)". At most `most` lines, and one that counts the remaining folders.
  std::vector<std::string> lines(std::size_t most = 100) const;

 private:
  using Names = std::map<PassedOver, std::set<std::string>>;
  std::map<std::string, Names> folders_;
};

}  // namespace millrace
