#pragma once

#include <span>

#include "stages/objectives/objective.h"
#include "stages/records.h"

namespace millrace {

/// Packs examples one after the other into a row of `row_length` positions (SeqIO's trim_and_pack_dataset; layout
/// "full" has one).
///   labels       = inputs0 ++ targets0 ++ inputs1 ++ targets1 ++ ... ++ padding
///   tokens       = labels shifted right by one, with pad (as BOS) where a segment begins
///   loss_weights = 1 on the targets, else 0
///   segment_ids  = 1, 2, ... per example, and 0 on padding
///   positions    = 0 .. T-1
/// With AttentionReach::document each document of a causal example is a segment of its own, whose positions begin at 0;
/// those of padding do, too. REQUIRES: together the examples are not longer than the row.
Row examples_to_row(std::span<const Example> examples, TokenId pad, int row_length,
                    AttentionReach attention = AttentionReach::packed);

}  // namespace millrace
