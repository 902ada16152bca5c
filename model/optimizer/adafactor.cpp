#include "model/optimizer/adafactor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include "model/kernels/adafactor_whole.h"

namespace millrace {
namespace {

std::vector<ParameterSpec> specs_of(const Parameters& parameters) {
  std::vector<ParameterSpec> specs;
  for (const Parameter& parameter : parameters.all) specs.push_back(parameter.spec);
  return specs;
}

double rms(double sum, Index size) {
  return std::sqrt(sum / static_cast<double>(size));
}

std::size_t index(Index i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

Adafactor::Adafactor(Device& device, const Parameters& parameters) : Adafactor(device, parameters, Settings()) {}

Adafactor::Adafactor(Device& device, const Parameters& parameters, Settings settings)
    : device_(device),
      parameters_(parameters),
      settings_(settings),
      layout_(specs_of(parameters), settings.min_dim_size_to_factor),
      state_(device),
      rms_(device),
      steps_(device),
      turns_(device),
      table_(device, layout_.pieces, kTableColumns),
      host_steps_(index(layout_.matrices)),
      doubt_(layout_.slots.size()) {
  const Tensor state = state_.shaped(1, layout_.state, device.real());
  device.clear(state.data, index(layout_.state) * bytes_of(state.type));
  rms_.shaped(1, layout_.rms, device.real());
  steps_.shaped(1, layout_.matrices, Type::f64);
  const Index doubles_of_factors = device.real() == Type::f64 ? layout_.factors : (layout_.factors + 1) / 2;
  turns_.shaped(1, std::max(layout_.column_sums, layout_.row_sums + doubles_of_factors), Type::f64);
}

double Adafactor::gradient_norm() {
  for (std::size_t i = 0; i < layout_.slots.size(); ++i) sum(layout_.slots[i], parameters_.all[i].gradient);
  table_.read();
  summed_ = true;
  return std::sqrt(table_.sum(0, layout_.pieces, kValues));
}

/// As many matrices at once as the memory for the columns' sums has room for.
void Adafactor::sum(const AdafactorSlot& slot, const Tensor& gradient) {
  if (!slot.factored) {
    device_.run(SumSquares{gradient, slot.pieces, table_of(slot)}, slot.blocks());
    return;
  }
  const Index pieces = slot.pieces.pieces;
  const Index at_once = std::min(slot.matrices, layout_.column_sums / (pieces * slot.columns));
  const Tensor row_rms = rms_.tensor().column_range(slot.first_rms, slot.matrices * slot.rows);
  const Tensor col_rms =
      rms_.tensor().column_range(slot.first_rms + slot.matrices * slot.rows, slot.matrices * slot.columns);
  for (Index first = 0; first < slot.matrices; first += at_once) {
    const Index count = std::min(at_once, slot.matrices - first);
    Tensor part = gradient.entry(first);
    part.batch = count;
    const Tensor sums{turns_.tensor().data, Type::f64, count * pieces, slot.columns, slot.columns};
    device_.run(AdafactorSums{part, slot.pieces, table_of(slot).row_range(first * pieces, count * pieces), sums,
                              row_rms.column_range(first * slot.rows, 0).data},
                count * pieces);
    device_.run(AdafactorColumns{sums, slot.pieces, col_rms.column_range(first * slot.columns, 0).data},
                count * AdafactorColumns::tiles(slot.columns));
  }
}

UpdateNorms Adafactor::update(double learning_rate, double gradient_factor) {
  if (!summed_) throw std::logic_error("Adafactor: update() before gradient_norm()");
  const MeansUpdate means{decay(), settings_.eps1, gradient_factor};
  const std::vector<AdafactorSlot>& slots = layout_.slots;
  for (std::size_t i = 0; i < slots.size(); ++i) find_moments(slots[i], parameters_.all[i], means);
  const UpdateNorms norms = find_steps(learning_rate);
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (doubt_[i] != 0) check(slots[i], parameters_.all[i], means);
  for (std::size_t i = 0; i < slots.size(); ++i) apply(slots[i], parameters_.all[i], means);
  summed_ = false;
  ++updates_;
  return norms;
}

void Adafactor::find_moments(const AdafactorSlot& slot, const Parameter& parameter, const MeansUpdate& update) {
  const Tensor& value = parameter.value;
  const Tensor& gradient = parameter.gradient;
  if (!slot.factored) {
    device_.run(AdafactorWholeMoments{value, gradient, v_of(slot), slot.pieces, update, table_of(slot)}, slot.blocks());
    return;
  }
  const FactoredMeans means = means_of(slot, update);
  find_factors(slot, means);
  device_.run(AdafactorMoments{means, value, gradient, table_of(slot)}, slot.blocks());
}

void Adafactor::find_factors(const AdafactorSlot& slot, const FactoredMeans& means) {
  device_.run(AdafactorRowSums{means}, slot.blocks());
  device_.run(AdafactorFactors{means, table_of(slot).column_range(kLargestRow, 2)}, slot.blocks());
}

UpdateNorms Adafactor::find_steps(double learning_rate) {
  table_.read();
  double all_values = 0;
  double all_changes = 0;
  for (std::size_t i = 0; i < layout_.slots.size(); ++i) {
    const AdafactorSlot& slot = layout_.slots[i];
    const Index size = slot.rows * slot.columns;
    doubt_[i] = 0;
    for (Index matrix = 0; matrix < slot.matrices; ++matrix) {
      const Index first = slot.first_piece + matrix * slot.pieces.pieces;
      const double values = table_.sum(first, slot.pieces.pieces, kValues);
      const double update = table_.sum(first, slot.pieces.pieces, kUpdate);
      const double step = step_size(learning_rate, rms(values, size), rms(update, size));
      const double change = step * step * update;
      if (!is_certain(slot, matrix, values, change, step)) doubt_[i] = 1;
      host_steps_[index(slot.first_matrix + matrix)] = step;
      all_values += values;
      all_changes += change;
    }
  }
  device_.to_device(steps_.tensor().data, host_steps_.data(), host_steps_.size() * sizeof(double));
  return {std::sqrt(all_values), std::sqrt(all_changes)};
}

/// No number exceeds the square root of the sum of squares. Intermediate results must be finite, too: the gradient is
/// multiplied by the row's factor first and by the column's last. Comparisons with NaN are false.
bool Adafactor::is_certain(const AdafactorSlot& slot, Index matrix, double values, double change, double step) const {
  const double most = std::sqrt(change);
  const bool is_small = std::sqrt(values) + most < static_cast<double>(kLargestWeight);
  if (!slot.factored) return is_small;
  constexpr double kMost = std::numeric_limits<float>::max() / 2;
  double largest_row = 0;
  double least_column = std::numeric_limits<double>::infinity();
  const Index first = slot.first_piece + matrix * slot.pieces.pieces;
  for (Index piece = first; piece < first + slot.pieces.pieces; ++piece) {
    largest_row = std::max(largest_row, table_.at(piece, kLargestRow));
    least_column = std::min(least_column, table_.at(piece, kLeastColumn));
  }
  return is_small && step * largest_row < kMost && least_column > 0 && most / least_column < kMost;
}

void Adafactor::check(const AdafactorSlot& slot, const Parameter& parameter, const MeansUpdate& update) {
  const auto* steps = static_cast<const double*>(steps_.tensor().data) + slot.first_matrix;
  const double largest = kLargestWeight;
  if (slot.factored) {
    const FactoredMeans means = means_of(slot, update);
    find_factors(slot, means);
    device_.run(AdafactorCheck{means, parameter.value, parameter.gradient, steps, largest, table_of(slot)},
                slot.blocks());
  } else {
    device_.run(AdafactorWholeCheck{parameter.value, parameter.gradient, v_of(slot), slot.pieces, update, steps,
                                    largest, table_of(slot)},
                slot.blocks());
  }
  table_.read();
  if (table_.sum(slot.first_piece, slot.blocks(), kValues) > 0) throw NotFiniteUpdate(slot.name);
}

void Adafactor::apply(const AdafactorSlot& slot, const Parameter& parameter, const MeansUpdate& update) {
  const auto* steps = static_cast<const double*>(steps_.tensor().data) + slot.first_matrix;
  if (!slot.factored) {
    device_.run(AdafactorWholeApply{parameter.value, parameter.gradient, parameter.image, v_of(slot), slot.pieces,
                                    update, steps},
                slot.blocks());
    return;
  }
  const FactoredMeans means = means_of(slot, update);
  find_factors(slot, means);
  device_.run(AdafactorApply{means, parameter.value, parameter.gradient, parameter.image, steps}, slot.blocks());
}

double Adafactor::step_size(double learning_rate, double value_rms, double update_rms) const {
  const double step =
      learning_rate * std::max(value_rms, settings_.eps2) / std::max(1.0, update_rms / settings_.clipping_threshold);
  return device_.real() == Type::f32 ? static_cast<double>(static_cast<float>(step)) : step;
}

double Adafactor::decay() const {
  return 1 - std::pow(static_cast<double>(updates_ + 1), -settings_.decay_exponent);
}

Tensor Adafactor::table_of(const AdafactorSlot& slot) const {
  return table_.pieces(slot.first_piece, slot.blocks());
}

Tensor Adafactor::v_of(const AdafactorSlot& slot) const {
  const Index size = slot.rows * slot.columns;
  return {state_.tensor().column_range(slot.first_state, 0).data,
          state_.tensor().type,
          slot.rows,
          slot.columns,
          slot.columns,
          slot.matrices,
          size};
}

FactoredMeans Adafactor::means_of(const AdafactorSlot& slot, const MeansUpdate& update) const {
  const auto at = [](const Buffer& buffer, Index first) { return buffer.tensor().column_range(first, 0).data; };
  const Index columns_first = slot.matrices * slot.rows;
  Tensor factors = turns_.tensor().column_range(layout_.row_sums, layout_.factors);
  factors.type = device_.real();
  return {.columns = slot.columns,
          .pieces = slot.pieces,
          .v_row = at(state_, slot.first_state),
          .v_col = at(state_, slot.first_state + columns_first),
          .row_rms = at(rms_, slot.first_rms),
          .col_rms = at(rms_, slot.first_rms + columns_first),
          .row_sums = static_cast<double*>(turns_.tensor().data),
          .row_factors = factors.data,
          .column_factors = factors.column_range(columns_first, 0).data,
          .update = update};
}

std::vector<StateTensor> Adafactor::state() const {
  std::vector<StateTensor> tensors;
  const auto add = [&](const AdafactorSlot& slot, const char* suffix, Index first, Index width) {
    tensors.push_back(
        {slot.name + suffix,
         {slot.matrices, width},
         {state_.tensor().column_range(first, 0).data, state_.tensor().type, slot.matrices, width, width}});
  };
  for (const AdafactorSlot& slot : layout_.slots) {
    if (slot.factored) {
      add(slot, ".v_row", slot.first_state, slot.rows);
      add(slot, ".v_col", slot.first_state + slot.matrices * slot.rows, slot.columns);
    } else {
      add(slot, ".v", slot.first_state, slot.rows * slot.columns);
    }
  }
  return tensors;
}

}  // namespace millrace
