#include "model/pass/batch_layout.h"

namespace millrace {

void describe(const TokenBatch& batch, BatchLayout& layout) {
  layout.rows = batch.rows;
  layout.length = batch.length;
  const auto count = static_cast<std::size_t>(layout.size());
  layout.position.resize(count);
  layout.first_key.resize(count);
  layout.real.resize(count);
  for (int row = 0; row < batch.rows; ++row) {
    const auto start = static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length);
    int end = batch.length;  // Of what is not padding.
    while (end > 0 && batch.tokens[start + static_cast<std::size_t>(end) - 1] == 0) --end;
    int first = 0;
    for (int t = 0; t < batch.length; ++t) {
      const std::size_t at = start + static_cast<std::size_t>(t);
      const std::int32_t segment = batch.segment_ids == nullptr ? 1 : batch.segment_ids[at];
      if (t > 0 && batch.segment_ids != nullptr && segment != batch.segment_ids[at - 1]) first = t;
      layout.position[at] = batch.positions == nullptr ? t : batch.positions[at];
      layout.real[at] = batch.segment_ids == nullptr ? t < end : segment != 0;
      layout.first_key[at] = segment == 0 ? t + 1 : first;
    }
  }
}

}  // namespace millrace
