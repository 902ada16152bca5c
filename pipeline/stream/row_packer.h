#pragma once

#include <optional>
#include <vector>

#include "pipeline/mix/mixer.h"

namespace millrace {

/// Collects examples in stream order until their row is complete. The mixer says which row each is in. Not thread-safe.
class RowPacker {
 public:
  /// `config` must outlive the packer.
  RowPacker(const StreamConfig& config, TokenId pad) : config_(config), pad_(pad) {}

  /// Whether the example may be added before take(): it stands in the open row, or none is open.
  bool belongs_to_open_row(const MixedSegment& mixed) const { return examples_.empty() || mixed.row == row_.number; }
  /// REQUIRES: MixedSegment::Kind::example, belongs_to_open_row(mixed).
  void add(MixedSegment mixed, Example example);
  /// The open row, which is complete; nothing if none is open.
  std::optional<StreamRow> take();

 private:
  const StreamConfig& config_;
  TokenId pad_;
  StreamRow row_;  ///< Without its Row, until it is taken.
  std::vector<Example> examples_;
};

}  // namespace millrace
