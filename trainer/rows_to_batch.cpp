#include "trainer/rows_to_batch.h"

#include <cstdint>

namespace millrace {

TokenBatch batch_of(const RowArrays& arrays, int first_row, int count) {
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(arrays.length);
  TokenBatch batch;
  batch.rows = count;
  batch.length = arrays.length;
  batch.tokens = arrays.tokens.data() + first;
  batch.labels = arrays.labels.data() + first;
  batch.loss_weights = arrays.loss_weights.data() + first;
  batch.segment_ids = arrays.segment_ids.data() + first;
  batch.positions = arrays.positions.data() + first;
  return batch;
}

double mean_loss_weight(std::span<const StreamRow> rows, std::size_t micro_rows) {
  double sum = 0;
  for (const StreamRow& row : rows)
    for (const float weight : row.row.loss_weights) sum += static_cast<double>(weight);
  return sum * (static_cast<double>(micro_rows) / static_cast<double>(rows.size()));
}

RowArrays causal_rows(const std::vector<TokenId>& ids, int length, TokenId pad) {
  const auto width = static_cast<std::size_t>(length);
  RowArrays arrays;
  arrays.rows = static_cast<int>((ids.size() + width - 1) / width);
  arrays.length = length;
  const std::size_t places = static_cast<std::size_t>(arrays.rows) * width;
  arrays.tokens.assign(places, pad);
  arrays.labels.assign(places, pad);
  arrays.loss_weights.assign(places, 0);
  arrays.segment_ids.assign(places, 0);
  arrays.positions.resize(places);
  for (std::size_t i = 0; i < places; ++i) arrays.positions[i] = static_cast<std::int32_t>(i % width);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    arrays.labels[i] = ids[i];
    if (i % width != 0) arrays.tokens[i] = ids[i - 1];
    arrays.loss_weights[i] = 1;
    arrays.segment_ids[i] = 1;
  }
  return arrays;
}

}  // namespace millrace
