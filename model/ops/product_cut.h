#pragma once

#include "model/matrix.h"

namespace millrace {

/// How a product is tiled: pieces of the result's longer side are spread over threads, and each piece sums `inner`
/// terms at a time.
struct ProductCut {
  Index piece = 0;  ///< Rows or columns of the result.
  Index inner = 0;  ///< Terms.
};

/// A function of the shape alone: the longer and the shorter side of the result, and how many terms each number sums.
/// One tile takes less than a second, so that a stop request is seen soon.
ProductCut cut_of(Index longer, Index shorter, Index terms);

}  // namespace millrace
