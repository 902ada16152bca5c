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

AdafactorLayout::AdafactorLayout(const std::vector<ParameterSpec>& specs, const std::vector<ParameterPart>& parts,
                                 std::int64_t min_dim_size_to_factor)
    : numbers(specs) {
  numbers.expect_parts(parts);
  for (const ParameterSpec& spec : specs) {
    const Tensor shape = parameter_tensor(spec, nullptr, Type::f32);
    parameters.push_back(
        {spec.name, is_factored(spec, min_dim_size_to_factor), shape.batch, shape.rows, shape.columns, matrices});
    matrices += shape.batch;
  }
  for (const ParameterPart& part : parts) {
    const AdafactorParameter& parameter = parameters[part.parameter];
    AdafactorSlot slot;
    slot.part = part;
    slot.factored = parameter.factored;
    slot.is_cut = numbers.is_cut(part);
    slot.columns = parameter.columns;
    slot.pieces = numbers.pieces(part);
    slot.whole = numbers.pieces(part.parameter);
    slot.before = part.first_row / slot.whole.piece_rows;
    slot.numbers = numbers.of(part);
    slot.first_matrix = parameter.first_matrix + part.first_matrix;
    slot.first_state = state;
    slot.first_rms = rms;
    slot.first_sum = cut_sums;
    state += slot.state_size();
    if (slot.factored) {
      rms += slot.sides();
      if (slot.is_cut) cut_sums += slot.whole.pieces;
      factors = std::max(factors, slot.sides());
      row_sums = std::max(row_sums, slot.blocks());
      column_sums = std::max(column_sums, slot.whole.pieces * slot.columns);
    }
    slots.push_back(slot);
  }
}

}  // namespace millrace
