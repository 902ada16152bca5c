#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

/// A column of an MDS shard. Its values are of any length.
struct MdsColumn {
  std::string name;
  std::string encoding;  ///< "ndarray:int32", "ndarray:float32".
};

/// The configuration that every shard of a dataset holds.
struct MdsConfig {
  std::vector<MdsColumn> columns;   ///< By name, ascending.
  std::string compression;          ///< "zstd"; empty: none.
  std::vector<std::string> hashes;  ///< Names of the hashes in index.json.
  std::uint64_t size_limit = 1ull << 26;
};

/// With its keys sorted, as Mosaic Streaming writes them.
void to_json(nlohmann::json& json, const MdsConfig& config);
/// Its bytes in a shard: as Python's json.dumps writes them.
std::string config_text(const MdsConfig& config);

/// One-dimensional arrays as MDS encodes them where the shape is not part of the encoding.
std::string mds_array(const std::vector<std::int32_t>& values);
std::string mds_array(const std::vector<float>& values);

/// One shard in memory: u32 count | u32 offset of each sample and of the end | config | samples.
class MdsShard {
 public:
  explicit MdsShard(const MdsConfig& config) : config_json_(config_text(config)) {}

  /// `values`: one a column, in the columns' order.
  void add(const std::vector<std::string>& values);
  std::uint32_t samples() const { return static_cast<std::uint32_t>(ends_.size()); }
  std::uint64_t size() const { return size_with(samples()) + samples_.size(); }
  /// What size() would be with one sample more.
  std::uint64_t size_with(const std::vector<std::string>& values) const;
  std::string bytes() const;
  void clear();

 private:
  std::uint64_t size_with(std::uint64_t samples) const { return 4 + 4 * (samples + 1) + config_json_.size(); }

  std::string config_json_;
  std::string samples_;
  std::vector<std::uint64_t> ends_;  ///< In samples_.
};

}  // namespace millrace
