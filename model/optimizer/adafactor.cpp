#include "model/optimizer/adafactor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>

#include "model/kernels/adafactor_whole.h"

namespace millrace {
namespace {

double rms(double sum, Index size) {
  return std::sqrt(sum / static_cast<double>(size));
}

std::size_t index(Index i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

Adafactor::Adafactor(Device& device, const Parameters& parameters) : Adafactor(device, parameters, Settings()) {}

Adafactor::Adafactor(Device& device, const Parameters& parameters, Settings settings)
    : Adafactor(device, parameters, settings, {whole_parameters(specs_of(parameters)), nullptr}) {}

Adafactor::Adafactor(Device& device, const Parameters& parameters, Settings settings, const OwnedParts& owned)
    : device_(device),
      parameters_(parameters),
      settings_(settings),
      layout_(specs_of(parameters), owned.parts, settings.min_dim_size_to_factor),
      exchange_(owned.exchange),
      state_(device),
      rms_(device),
      steps_(device),
      cut_sums_(device),
      turns_(device),
      table_(device, layout_.numbers.count(), kTableColumns, owned.exchange),
      host_steps_(index(layout_.matrices)),
      doubt_(layout_.parameters.size()),
      told_(layout_.cut_sums > 0 ? index(layout_.column_sums) : 0) {
  const Tensor state = state_.shaped(1, layout_.state, device.real());
  device.clear(state.data, index(layout_.state) * bytes_of(state.type));
  rms_.shaped(1, layout_.rms, device.real());
  steps_.shaped(1, layout_.matrices, Type::f64);
  cut_sums_.shaped(1, layout_.cut_sums, Type::f64);
  const Index doubles_of_factors = device.real() == Type::f64 ? layout_.factors : (layout_.factors + 1) / 2;
  turns_.shaped(1, std::max(layout_.column_sums, layout_.row_sums + doubles_of_factors), Type::f64);
}

/// Cut matrices last: their owners wait for each other.
double Adafactor::gradient_norm() {
  for (const bool is_cut : {false, true})
    for (const AdafactorSlot& slot : layout_.slots)
      if (slot.is_cut == is_cut) sum(slot);
  table_.read(1);
  summed_ = true;
  return std::sqrt(table_.sum(layout_.numbers.all(), kValues));
}

/// As many matrices at once as the memory for the columns' sums has room for.
void Adafactor::sum(const AdafactorSlot& slot) {
  const Tensor gradient = gradient_of(slot);
  if (!slot.factored) {
    device_.run(SumSquares{gradient, slot.pieces, table_of(slot)}, slot.blocks());
    return;
  }
  const Index pieces = slot.pieces.pieces;
  const Index of_matrix = slot.whole.pieces;
  const Index at_once = std::min(slot.matrices(), layout_.column_sums / (of_matrix * slot.columns));
  const Index rows = slot.rows();
  const Tensor row_rms = rms_.tensor().column_range(slot.first_rms, slot.matrices() * rows);
  const Tensor col_rms =
      rms_.tensor().column_range(slot.first_rms + slot.matrices() * rows, slot.matrices() * slot.columns);
  for (Index first = 0; first < slot.matrices(); first += at_once) {
    const Index count = std::min(at_once, slot.matrices() - first);
    Tensor part = gradient.entry(first);
    part.batch = count;
    const Tensor sums{turns_.tensor().data, Type::f64, count * of_matrix, slot.columns, slot.columns};
    device_.run(AdafactorSums{part, slot.pieces, table_of(slot).row_range(first * pieces, count * pieces),
                              sums.row_range(slot.before, count * pieces), row_rms.column_range(first * rows, 0).data},
                count * pieces);
    if (slot.is_cut) complete(slot, sums);
    device_.run(AdafactorColumns{sums, slot.whole, col_rms.column_range(first * slot.columns, 0).data},
                count * AdafactorColumns::tiles(slot.columns));
  }
}

void Adafactor::complete(const AdafactorSlot& slot, const Tensor& sums) {
  const std::span<double> table = std::span(told_).first(index(sums.size()));
  const Tensor own = sums.row_range(slot.before, slot.pieces.pieces);
  device_.to_host(table.data() + slot.before * sums.columns, own.data, index(own.size()) * sizeof(double));
  exchange_->complete(layout_.numbers.of(slot.part.parameter, slot.part.first_matrix), table);
  device_.to_device(sums.data, table.data(), table.size_bytes());
}

UpdateNorms Adafactor::update(double learning_rate, double gradient_factor) {
  if (!summed_) throw std::logic_error("Adafactor: update() before gradient_norm()");
  const MeansUpdate means{decay(), settings_.eps1, gradient_factor};
  find_cut_sums(means);
  for (const AdafactorSlot& slot : layout_.slots) find_moments(slot, means);
  const UpdateNorms norms = find_steps(learning_rate);
  for (std::size_t i = 0; i < doubt_.size(); ++i)
    if (doubt_[i] != 0) check(i, means);
  for (const AdafactorSlot& slot : layout_.slots) apply(slot, means);
  summed_ = false;
  ++updates_;
  return norms;
}

void Adafactor::find_cut_sums(const MeansUpdate& update) {
  for (const AdafactorSlot& slot : layout_.slots) {
    if (!slot.factored || !slot.is_cut) continue;
    device_.run(AdafactorRowSums{means_of(slot, update)}, slot.blocks());
    const Tensor sums = cut_sums_.tensor().column_range(slot.first_sum, 0);
    complete(slot, {sums.data, Type::f64, slot.whole.pieces, 1, 1});
  }
}

void Adafactor::find_moments(const AdafactorSlot& slot, const MeansUpdate& update) {
  const Tensor value = value_of(slot);
  const Tensor gradient = gradient_of(slot);
  if (!slot.factored) {
    device_.run(AdafactorWholeMoments{value, gradient, v_of(slot), slot.pieces, update, table_of(slot)}, slot.blocks());
    return;
  }
  const FactoredMeans means = means_of(slot, update);
  find_factors(slot, means);
  device_.run(AdafactorMoments{means, value, gradient, table_of(slot)}, slot.blocks());
}

void Adafactor::find_factors(const AdafactorSlot& slot, const FactoredMeans& means) {
  if (!slot.is_cut) device_.run(AdafactorRowSums{means}, slot.blocks());
  device_.run(AdafactorFactors{means, table_of(slot).column_range(kLargestRow, 2)}, slot.blocks());
}

UpdateNorms Adafactor::find_steps(double learning_rate) {
  table_.read();
  double all_values = 0;
  double all_changes = 0;
  for (std::size_t i = 0; i < layout_.parameters.size(); ++i) {
    const AdafactorParameter& parameter = layout_.parameters[i];
    const Index size = parameter.rows * parameter.columns;
    doubt_[i] = 0;
    for (Index matrix = 0; matrix < parameter.matrices; ++matrix) {
      const PieceRange pieces = layout_.numbers.of(i, matrix);
      const double values = table_.sum(pieces, kValues);
      const double update = table_.sum(pieces, kUpdate);
      const double step = step_size(learning_rate, rms(values, size), rms(update, size));
      const double change = step * step * update;
      if (!is_certain(parameter, pieces, values, change, step)) doubt_[i] = 1;
      host_steps_[index(parameter.first_matrix + matrix)] = step;
      all_values += values;
      all_changes += change;
    }
  }
  device_.to_device(steps_.tensor().data, host_steps_.data(), host_steps_.size() * sizeof(double));
  return {std::sqrt(all_values), std::sqrt(all_changes)};
}

/// No number exceeds the square root of the sum of squares. Intermediate results must be finite, too: the gradient is
/// multiplied by the row's factor first and by the column's last. Comparisons with NaN are false.
bool Adafactor::is_certain(const AdafactorParameter& parameter, PieceRange matrix, double values, double change,
                           double step) const {
  const double most = std::sqrt(change);
  const bool is_small = std::sqrt(values) + most < static_cast<double>(kLargestWeight);
  if (!parameter.factored) return is_small;
  constexpr double kMost = std::numeric_limits<float>::max() / 2;
  double largest_row = 0;
  double least_column = std::numeric_limits<double>::infinity();
  for (Index piece = matrix.first; piece < matrix.first + matrix.count; ++piece) {
    largest_row = std::max(largest_row, table_.at(piece, kLargestRow));
    least_column = std::min(least_column, table_.at(piece, kLeastColumn));
  }
  return is_small && step * largest_row < kMost && least_column > 0 && most / least_column < kMost;
}

void Adafactor::check(std::size_t parameter, const MeansUpdate& update) {
  for (const AdafactorSlot& slot : layout_.slots)
    if (slot.part.parameter == parameter) check(slot, update);
  table_.read(1);
  if (table_.sum(layout_.numbers.of(parameter), kValues) > 0) throw NotFiniteUpdate(layout_.parameters[parameter].name);
}

void Adafactor::check(const AdafactorSlot& slot, const MeansUpdate& update) {
  const auto* steps = static_cast<const double*>(steps_.tensor().data) + slot.first_matrix;
  const double largest = kLargestWeight;
  if (slot.factored) {
    const FactoredMeans means = means_of(slot, update);
    find_factors(slot, means);
    device_.run(AdafactorCheck{means, value_of(slot), gradient_of(slot), steps, largest, table_of(slot)},
                slot.blocks());
  } else {
    device_.run(AdafactorWholeCheck{value_of(slot), gradient_of(slot), v_of(slot), slot.pieces, update, steps, largest,
                                    table_of(slot)},
                slot.blocks());
  }
}

void Adafactor::apply(const AdafactorSlot& slot, const MeansUpdate& update) {
  const auto* steps = static_cast<const double*>(steps_.tensor().data) + slot.first_matrix;
  if (!slot.factored) {
    device_.run(
        AdafactorWholeApply{value_of(slot), gradient_of(slot), image_of(slot), v_of(slot), slot.pieces, update, steps},
        slot.blocks());
    return;
  }
  const FactoredMeans means = means_of(slot, update);
  find_factors(slot, means);
  device_.run(AdafactorApply{means, value_of(slot), gradient_of(slot), image_of(slot), steps}, slot.blocks());
}

double Adafactor::step_size(double learning_rate, double value_rms, double update_rms) const {
  const double step =
      learning_rate * std::max(value_rms, settings_.eps2) / std::max(1.0, update_rms / settings_.clipping_threshold);
  return device_.real() == Type::f32 ? static_cast<double>(static_cast<float>(step)) : step;
}

double Adafactor::decay() const {
  return 1 - std::pow(static_cast<double>(updates_ + 1), -settings_.decay_exponent);
}

Tensor Adafactor::v_of(const AdafactorSlot& slot) const {
  const Index size = slot.rows() * slot.columns;
  return {state_.tensor().column_range(slot.first_state, 0).data,
          state_.tensor().type,
          slot.rows(),
          slot.columns,
          slot.columns,
          slot.matrices(),
          size};
}

FactoredMeans Adafactor::means_of(const AdafactorSlot& slot, const MeansUpdate& update) const {
  const auto at = [](const Buffer& buffer, Index first) { return buffer.tensor().column_range(first, 0).data; };
  const Index columns_first = slot.matrices() * slot.rows();
  Tensor factors = turns_.tensor().column_range(layout_.row_sums, layout_.factors);
  factors.type = device_.real();
  return {.columns = slot.columns,
          .pieces = slot.pieces,
          .whole = slot.whole,
          .before = slot.before,
          .v_row = at(state_, slot.first_state),
          .v_col = at(state_, slot.first_state + columns_first),
          .row_rms = at(rms_, slot.first_rms),
          .col_rms = at(rms_, slot.first_rms + columns_first),
          .row_sums = static_cast<double*>(slot.is_cut ? at(cut_sums_, slot.first_sum) : at(turns_, 0)),
          .row_factors = factors.data,
          .column_factors = factors.column_range(columns_first, 0).data,
          .update = update};
}

std::vector<StateTensor> Adafactor::state() const {
  std::vector<StateTensor> tensors;
  for (const AdafactorSlot& slot : layout_.slots) {
    const AdafactorParameter& parameter = layout_.parameters[slot.part.parameter];
    Index next = slot.first_state;
    /// `width` numbers of each matrix, of which those of the part's begin with `first`.
    const auto add = [&](const char* suffix, Index width, Index first, Index count) {
      tensors.push_back(
          {parameter.name + suffix,
           {parameter.matrices, width},
           {state_.tensor().column_range(next, 0).data, state_.tensor().type, slot.matrices(), count, count},
           slot.part.first_matrix * width + first});
      next += slot.matrices() * count;
    };
    const Index columns = slot.columns;
    if (slot.factored) {
      add(".v_row", parameter.rows, slot.part.first_row, slot.rows());
      add(".v_col", columns, 0, columns);
    } else {
      add(".v", parameter.rows * columns, slot.part.first_row * columns, slot.rows() * columns);
    }
  }
  return tensors;
}

}  // namespace millrace
