#include "model/optimizer/owned_parts.h"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace millrace {
namespace {

Tensor shape_of(const ParameterSpec& spec) {
  return parameter_tensor(spec, nullptr, Type::f32);
}

}  // namespace

std::vector<ParameterSpec> specs_of(const Parameters& parameters) {
  std::vector<ParameterSpec> specs;
  for (const Parameter& parameter : parameters.all) specs.push_back(parameter.spec);
  return specs;
}

std::vector<ParameterPart> whole_parameters(const std::vector<ParameterSpec>& specs) {
  std::vector<ParameterPart> parts;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const Tensor shape = shape_of(specs[i]);
    parts.push_back({i, 0, shape.batch, 0, shape.rows});
  }
  return parts;
}

Parameters as_whole(const std::vector<ParameterSpec>& specs, const Parameters& here) {
  Parameters whole;
  for (const ParameterSpec& spec : specs) whole.all.push_back({.spec = spec, .value = {}, .gradient = {}, .image = {}});
  for (const Parameter& parameter : here.all) {
    Parameter& place = whole.all.at(parameter.spec.number);
    const Index matrices = shape_of(place.spec).batch;
    const auto spread = [&](Tensor tensor) {
      if (!tensor) return tensor;
      const Index before = parameter.spec.first_element * static_cast<Index>(bytes_of(tensor.type));
      tensor.data =
          reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(tensor.data) - static_cast<std::uintptr_t>(before));
      tensor.batch = matrices;
      return tensor;
    };
    place.value = spread(parameter.value);
    place.gradient = spread(parameter.gradient);
    place.image = spread(parameter.image);
  }
  return whole;
}

Tensor part_of(const Tensor& whole, const ParameterPart& part) {
  if (!whole) return whole;
  Tensor tensor = whole.entry(part.first_matrix).row_range(part.first_row, part.rows);
  tensor.batch = part.matrices;
  return tensor;
}

PieceNumbers::PieceNumbers(const std::vector<ParameterSpec>& specs) {
  for (const ParameterSpec& spec : specs) {
    const Tensor shape = shape_of(spec);
    const RowPieces pieces = RowPieces::of(shape.rows, shape.columns);
    parameters_.push_back({pieces, shape.batch, count_});
    count_ += shape.batch * pieces.pieces;
  }
}

PieceRange PieceNumbers::of(std::size_t parameter) const {
  const Numbered& all = parameters_[parameter];
  return {all.first, all.matrices * all.pieces.pieces};
}

PieceRange PieceNumbers::of(std::size_t parameter, Index matrix) const {
  const Numbered& all = parameters_[parameter];
  return {all.first + matrix * all.pieces.pieces, all.pieces.pieces};
}

PieceRange PieceNumbers::of(const ParameterPart& part) const {
  const RowPieces own = pieces(part);
  return {of(part.parameter, part.first_matrix).first + part.first_row / own.piece_rows, part.matrices * own.pieces};
}

RowPieces PieceNumbers::pieces(const ParameterPart& part) const {
  const Index piece_rows = parameters_[part.parameter].pieces.piece_rows;
  return {part.rows, piece_rows, (part.rows + piece_rows - 1) / piece_rows};
}

void PieceNumbers::expect_parts(const std::vector<ParameterPart>& parts) const {
  const auto expect = [](bool holds, const ParameterPart& part, const char* what) {
    if (!holds) throw std::logic_error("parts of parameter " + std::to_string(part.parameter) + " are " + what);
  };
  Index free = 0;  // The first piece behind the last part, and behind its matrix if that is cut.
  for (const ParameterPart& part : parts) {
    expect(part.parameter < parameters_.size(), part, "of no parameter");
    const Numbered& all = parameters_[part.parameter];
    const Index end = part.first_row + part.rows;
    expect(part.matrices >= 1 && part.rows >= 1 && part.first_row >= 0 && end <= all.pieces.rows &&
               part.first_matrix >= 0 && part.first_matrix + part.matrices <= all.matrices,
           part, "out of range");
    expect(part.first_row % all.pieces.piece_rows == 0 && (end % all.pieces.piece_rows == 0 || end == all.pieces.rows),
           part, "not cut at pieces of rows");
    expect(part.matrices == 1 || !is_cut(part), part, "some rows of several matrices");
    const PieceRange range = of(part);
    expect(range.first >= free, part, "out of order, or several of one cut matrix");
    const PieceRange matrix = of(part.parameter, part.first_matrix);
    free = is_cut(part) ? matrix.first + matrix.count : range.first + range.count;
  }
}

}  // namespace millrace
