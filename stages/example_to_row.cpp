#include "stages/example_to_row.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace millrace {

Row example_to_row(const Example& example, TokenId pad, int row_length) {
  const auto length = static_cast<std::size_t>(row_length);
  const std::size_t inputs = example.inputs.size();
  const std::size_t used = inputs + example.targets.size();
  if (used > length) throw std::logic_error("an example is longer than its row");

  Row row;
  row.labels.assign(length, pad);
  std::ranges::copy(example.inputs, row.labels.begin());
  std::ranges::copy(example.targets, row.labels.begin() + static_cast<std::ptrdiff_t>(inputs));
  row.tokens.assign(length, pad);
  std::copy_n(row.labels.begin(), used - 1, row.tokens.begin() + 1);
  row.loss_weights.assign(length, 0.0F);
  std::fill(row.loss_weights.begin() + static_cast<std::ptrdiff_t>(inputs),
            row.loss_weights.begin() + static_cast<std::ptrdiff_t>(used), 1.0F);
  row.segment_ids.assign(length, 0);
  std::fill_n(row.segment_ids.begin(), used, 1);
  row.positions.resize(length);
  std::iota(row.positions.begin(), row.positions.end(), 0);
  return row;
}

}  // namespace millrace
