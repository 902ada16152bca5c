#pragma once

#include <memory>
#include <span>
#include <vector>

#include <pybind11/pybind11.h>

#include "pipeline/rows/row_names.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// What Python holds of a batch beside its arrays: where its rows came from.
struct BatchOrigins {
  Batch rows;  ///< Without arrays.
  std::shared_ptr<const RowNames> names;
};

/// A batch for Python: (tokens, labels, loss_weights, segment_ids, positions), numpy arrays (rows, T) of int32 and
/// float32 that own their memory, and a BatchOrigins. Gathered without Python's lock, which the caller holds. REQUIRES:
/// at least one row.
pybind11::tuple batch_for_python(Batch batch, const std::shared_ptr<const RowNames>& names);

/// Text as Python has it; bytes that are no UTF-8 (of a path) become surrogates, as in os.fsdecode().
pybind11::str python_text(const std::string& text);

/// Adds the class BatchOrigins.
void bind_batches(pybind11::module_& module);

}  // namespace millrace
