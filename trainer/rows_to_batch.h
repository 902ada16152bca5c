#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/transformer/transformer.h"
#include "pipeline/rows/stream_row.h"
#include "stages/records.h"

namespace millrace {

/// Rows concatenated, as the model reads them: (rows, length), row-major.
struct RowArrays {
  int rows = 0;
  int length = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> labels;
  std::vector<float> loss_weights;
  std::vector<std::int32_t> segment_ids;
  std::vector<std::int32_t> positions;

  /// A view of some of the rows; valid until the arrays change.
  TokenBatch batch(int first_row, int count) const;
};

/// Overwrites `arrays` with the rows and reuses its memory. REQUIRES: at least one row, all of one length.
void gather_rows(std::span<const StreamRow> rows, RowArrays& arrays);
RowArrays rows_of(std::span<const Row> rows);

/// The loss weight that so many of the rows have on average: what a micro-batch's loss is divided by, so that the mean
/// over micro-batches is the rows' weighted loss over all their weight.
double mean_loss_weight(std::span<const StreamRow> rows, std::size_t micro_rows);

/// A text's ids as CausalLM rows: each row begins with pad as BOS; every real label has loss weight 1; the last row is
/// padded.
RowArrays causal_rows(const std::vector<TokenId>& ids, int length, TokenId pad);

}  // namespace millrace
