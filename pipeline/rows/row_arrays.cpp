#include "pipeline/rows/row_arrays.h"

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
  const std::size_t length = row_in(rows.front()).tokens.size();
  for (auto* ids : {&arrays.tokens, &arrays.labels, &arrays.segment_ids, &arrays.positions}) {
    ids->clear();
    ids->reserve(rows.size() * length);
  }
  arrays.loss_weights.clear();
  arrays.loss_weights.reserve(rows.size() * length);
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

void gather_rows(std::span<const StreamRow> rows, RowArrays& arrays) {
  lay_out(rows, arrays);
}

RowArrays rows_of(std::span<const Row> rows) {
  RowArrays arrays;
  lay_out(rows, arrays);
  return arrays;
}

}  // namespace millrace
