#include "trainer/rows_to_batch.h"

#include <cstddef>
#include <stdexcept>

namespace millrace {
namespace {

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from, std::size_t length) {
  if (from.size() != length) throw std::logic_error("rows of different lengths in one batch");
  to.insert(to.end(), from.begin(), from.end());
}

const Row& row_in(const Row& row) {
  return row;
}
const Row& row_in(const StreamRow& row) {
  return row.row;
}

template <class AnyRow>
void lay_out(std::span<const AnyRow> rows, RowArrays& arrays) {
  for (auto* ids : {&arrays.tokens, &arrays.labels, &arrays.segment_ids, &arrays.positions}) ids->clear();
  arrays.loss_weights.clear();
  const std::size_t length = row_in(rows.front()).tokens.size();
  arrays.rows = static_cast<int>(rows.size());
  arrays.length = static_cast<int>(length);
  for (const AnyRow& any_row : rows) {
    const Row& row = row_in(any_row);
    append(arrays.tokens, row.tokens, length);
    append(arrays.labels, row.labels, length);
    append(arrays.loss_weights, row.loss_weights, length);
    append(arrays.segment_ids, row.segment_ids, length);
    append(arrays.positions, row.positions, length);
  }
}

}  // namespace

TokenBatch RowArrays::batch(int first_row, int count) const {
  const std::size_t first = static_cast<std::size_t>(first_row) * static_cast<std::size_t>(length);
  TokenBatch batch;
  batch.rows = count;
  batch.length = length;
  batch.tokens = tokens.data() + first;
  batch.labels = labels.data() + first;
  batch.loss_weights = loss_weights.data() + first;
  batch.segment_ids = segment_ids.data() + first;
  batch.positions = positions.data() + first;
  return batch;
}

void gather_rows(std::span<const StreamRow> rows, RowArrays& arrays) {
  lay_out(rows, arrays);
}

double mean_loss_weight(std::span<const StreamRow> rows, std::size_t micro_rows) {
  double sum = 0;
  for (const StreamRow& row : rows)
    for (const float weight : row.row.loss_weights) sum += static_cast<double>(weight);
  return sum * (static_cast<double>(micro_rows) / static_cast<double>(rows.size()));
}

RowArrays rows_of(std::span<const Row> rows) {
  RowArrays arrays;
  lay_out(rows, arrays);
  return arrays;
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
