#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/rows/position.h"
#include "stages/records.h"

namespace millrace {

/// Bumped whenever the rows for a given (run file, shards, vocabulary, seed) change. Recorded in every checkpoint.
inline constexpr int kStreamVersion = 4;

/// Where an example of a row came from.
struct ExampleOrigin {
  std::uint64_t example = 0;  ///< Number in the stream.
  std::uint32_t phase = 0;
  std::uint32_t corpus = 0;          ///< Index in the run's corpora.
  std::uint32_t denoiser = 0;        ///< Index in the phase's objective.
  std::uint64_t raw_tokens = 0;      ///< Ids of documents that were taken for it.
  std::uint64_t segment_tokens = 0;  ///< ... with separators: its part of StreamRow::raw_tokens.
  std::uint64_t trimmed_tokens = 0;  ///< Segment tokens that did not fit: Example::trimmed.
  std::uint64_t loss_tokens = 0;
  std::uint64_t documents_begun = 0;  ///< Documents of which the first token that is read is in this example.
  std::uint32_t first = 0;            ///< Where in the row its inputs begin; its targets follow them.
  std::uint32_t inputs = 0;           ///< Positions.
  std::uint32_t targets = 0;          ///< Positions.
  std::vector<DocumentSpan> documents;

  bool operator==(const ExampleOrigin&) const = default;
};

/// A row, its number and its provenance.
struct StreamRow {
  std::uint64_t number = 0;
  Row row;
  std::vector<TokenId> raw_tokens;  ///< What the row's examples were made from, with separators, in their order.
  std::vector<ExampleOrigin> examples;
  std::vector<Reject> rejects;  ///< Passed over since the row before; `corpus` of each in reject_corpora.
  std::vector<std::uint32_t> reject_corpora;
  std::shared_ptr<const StreamPosition> after;  ///< The position after this row.
};

using Batch = std::vector<StreamRow>;

}  // namespace millrace
