#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/transformer/transformer.h"
#include "pipeline/rows/row_arrays.h"
#include "pipeline/rows/stream_row.h"
#include "stages/records.h"

namespace millrace {

/// A view of some of the rows; valid until the arrays change.
TokenBatch batch_of(const RowArrays& arrays, int first_row, int count);

/// The loss weight that so many of the rows have on average: what a micro-batch's loss is divided by, so that the mean
/// over micro-batches is the rows' weighted loss over all their weight.
double mean_loss_weight(std::span<const StreamRow> rows, std::size_t micro_rows);

/// A text's ids as CausalLM rows: each row begins with pad as BOS; every real label has loss weight 1; the last row is
/// padded.
RowArrays causal_rows(const std::vector<TokenId>& ids, int length, TokenId pad);

}  // namespace millrace
