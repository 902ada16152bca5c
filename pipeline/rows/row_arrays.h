#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pipeline/rows/stream_row.h"
#include "stages/records.h"

namespace millrace {

/// Rows concatenated, as a model reads them: (rows, length), row-major.
struct RowArrays {
  int rows = 0;
  int length = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> labels;
  std::vector<float> loss_weights;
  std::vector<std::int32_t> segment_ids;
  std::vector<std::int32_t> positions;
};

/// Overwrites `arrays` with the rows and reuses its memory. REQUIRES: at least one row, all of one length.
void gather_rows(std::span<const StreamRow> rows, RowArrays& arrays);
RowArrays rows_of(std::span<const Row> rows);

}  // namespace millrace
