#include "model/optimizer/adafactor_layout.h"

#include <algorithm>

#include "model/parameters/parameter.h"

namespace millrace {
namespace {

bool is_factored(const ParameterSpec& spec, std::int64_t min_dim_size_to_factor) {
  const std::size_t axes = spec.shape.size() - (spec.per_expert ? 1 : 0);
  if (axes != 2) return false;
  return spec.per_expert || std::min(spec.shape.front(), spec.shape.back()) >= min_dim_size_to_factor;
}

}  // namespace

AdafactorLayout::AdafactorLayout(const std::vector<ParameterSpec>& specs, std::int64_t min_dim_size_to_factor) {
  for (const ParameterSpec& spec : specs) {
    const Tensor shape = parameter_tensor(spec, nullptr, Type::f32);
    AdafactorSlot slot;
    slot.name = spec.name;
    slot.factored = is_factored(spec, min_dim_size_to_factor);
    slot.matrices = shape.batch;
    slot.rows = shape.rows;
    slot.columns = shape.columns;
    slot.pieces = RowPieces::of(shape.rows, shape.columns);
    slot.first_matrix = matrices;
    slot.first_piece = pieces;
    slot.first_state = state;
    slot.first_rms = rms;
    matrices += slot.matrices;
    pieces += slot.blocks();
    state += slot.state_size();
    if (slot.factored) {
      rms += slot.sides();
      factors = std::max(factors, slot.sides());
      row_sums = std::max(row_sums, slot.blocks());
      column_sums = std::max(column_sums, slot.pieces.pieces * slot.columns);
    }
    slots.push_back(std::move(slot));
  }
}

}  // namespace millrace
