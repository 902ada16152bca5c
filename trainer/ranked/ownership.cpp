#include "trainer/ranked/ownership.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "model/kernels/row_pieces.h"

namespace millrace {
namespace {

constexpr Index kUnitsOfAShare = 24;

/// What is given to one owner: pieces of a matrix, or all of it.
struct Unit {
  std::size_t parameter;
  Index matrix;
  Index pieces;
  Index size;  ///< Numbers.
};

std::vector<Unit> units_of(const std::vector<ParameterSpec>& specs, Index most) {
  std::vector<Unit> units;
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const Tensor shape = parameter_tensor(specs[i], nullptr, Type::f32);
    const RowPieces pieces = RowPieces::of(shape.rows, shape.columns);
    const Index size = shape.rows * shape.columns;
    const Index cuts = std::clamp((size + most - 1) / most, Index{1}, pieces.pieces);
    for (Index matrix = 0; matrix < shape.batch; ++matrix) {
      for (Index cut = 0; cut < cuts; ++cut) {
        const Index first = cut * pieces.pieces / cuts;
        const Index end = (cut + 1) * pieces.pieces / cuts;
        const Index rows = std::min(end * pieces.piece_rows, shape.rows) - first * pieces.piece_rows;
        units.push_back({i, matrix, end - first, rows * shape.columns});
      }
    }
  }
  return units;
}

/// The owner of each unit.
std::vector<std::size_t> owners_of(const std::vector<Unit>& units, std::size_t owners) {
  std::vector<std::size_t> by_size(units.size());
  std::iota(by_size.begin(), by_size.end(), std::size_t{0});
  std::ranges::stable_sort(by_size, std::greater(), [&](std::size_t i) { return units[i].size; });
  using Load = std::pair<Index, std::size_t>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> least;
  for (std::size_t owner = 0; owner < owners; ++owner) least.emplace(0, owner);
  std::vector<std::size_t> owner_of(units.size());
  for (const std::size_t unit : by_size) {
    const auto [load, owner] = least.top();
    least.pop();
    owner_of[unit] = owner;
    least.emplace(load + units[unit].size, owner);
  }
  return owner_of;
}

/// Appends, together with the matrix before it where that is the owner's, too.
void give(std::vector<ParameterPart>& parts, const ParameterPart& part, bool is_whole) {
  if (is_whole && !parts.empty()) {
    ParameterPart& last = parts.back();
    if (last.parameter == part.parameter && last.rows == part.rows &&
        last.first_matrix + last.matrices == part.first_matrix) {
      ++last.matrices;
      return;
    }
  }
  parts.push_back(part);
}

}  // namespace

std::vector<std::vector<ParameterPart>> ownership(const std::vector<ParameterSpec>& specs, int owners) {
  const auto count = static_cast<std::size_t>(owners);
  Index all = 0;
  for (const ParameterSpec& spec : specs) all += spec.size();
  const std::vector<Unit> units = units_of(specs, std::max(all / (kUnitsOfAShare * Index{owners}), Index{1}));
  const std::vector<std::size_t> owner_of = owners_of(units, count);
  std::vector<std::vector<ParameterPart>> parts(count);
  std::vector<Index> pieces(count);  // Of one matrix, by owner.
  for (std::size_t i = 0; i < units.size();) {
    const Unit& first = units[i];
    std::vector<std::size_t> shared;
    for (; i < units.size() && units[i].parameter == first.parameter && units[i].matrix == first.matrix; ++i) {
      if (pieces[owner_of[i]] == 0) shared.push_back(owner_of[i]);
      pieces[owner_of[i]] += units[i].pieces;
    }
    std::ranges::sort(shared);
    // The last piece may have fewer rows: whoever has it keeps it.
    const auto last = std::ranges::find(shared, owner_of[i - 1]);
    std::rotate(last, last + 1, shared.end());
    const Tensor shape = parameter_tensor(specs[first.parameter], nullptr, Type::f32);
    const Index piece_rows = RowPieces::of(shape.rows, shape.columns).piece_rows;
    Index row = 0;
    for (const std::size_t owner : shared) {
      const Index rows = std::min(std::exchange(pieces[owner], 0) * piece_rows, shape.rows - row);
      give(parts[owner], {first.parameter, first.matrix, 1, row, rows}, rows == shape.rows);
      row += rows;
    }
  }
  return parts;
}

Index size_of(const ParameterPart& part, const std::vector<ParameterSpec>& specs) {
  return part.matrices * part.rows * specs[part.parameter].shape.back();
}

Index size_of(const std::vector<ParameterPart>& parts, const std::vector<ParameterSpec>& specs) {
  Index size = 0;
  for (const ParameterPart& part : parts) size += size_of(part, specs);
  return size;
}

}  // namespace millrace
