#pragma once

#include "stages/records.h"

namespace millrace {

/// Layout "full": one example fills one row of `row_length` positions.
///   labels       = inputs ++ targets ++ padding
///   tokens       = pad (as BOS), then labels shifted right by one
///   loss_weights = 1 on the targets, else 0
///   segment_ids  = 1, and 0 on padding;  positions = 0 .. T-1
/// REQUIRES: the example is not longer than the row.
Row example_to_row(const Example& example, TokenId pad, int row_length);

}  // namespace millrace
