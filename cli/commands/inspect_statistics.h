#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/mixing_record.h"
#include "pipeline/rows/row_statistics.h"

namespace millrace {

/// How the mixing is measured by inspect --stats.
struct MixingOptions {
  std::optional<std::uint64_t> batch_rows;   ///< None: not known.
  std::optional<std::uint64_t> window_rows;  ///< None: kWindowRows.
  std::string by;                            ///< A field; empty: none.

  static constexpr std::uint64_t kWindowRows = 1000;
};

/// Every corpus's first property.
DocumentProperty shard_property();

/// Counts rows for inspect --stats, and prints what they hold.
class RowCounts {
 public:
  /// As StreamStatistics; `config` must outlive the counts.
  RowCounts(const StreamConfig& config, TokenId first_sentinel, const MixingOptions& options);

  /// Rows in order, none left out.
  void add(const StreamRow& row);
  /// `corpora`: the names of the run's corpora.
  void print(const std::vector<std::string>& corpora, const PropertiesOf& properties_of, bool json) const;

 private:
  const StreamConfig& config_;
  StreamStatistics statistics_;
  RowMixing mixing_;
};

}  // namespace millrace
