#include "trainer/optimizer/adafactor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include "model/fixed_chunks.h"
#include "model/parameters/parameter_spec.h"

namespace millrace {
namespace {

/// At most this many chunks of rows, whatever the shape: bounds the memory of partial column sums.
constexpr std::int64_t kMaxRowChunks = 64;

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

double squared(float x) {
  return static_cast<double>(x) * static_cast<double>(x);
}

double sum_of_squares(const float* values, std::int64_t size) {
  return parallel_sum(size, [values](std::int64_t i) { return squared(values[i]); });
}

double rms(double sum, std::int64_t size) {
  return std::sqrt(sum / static_cast<double>(size));
}

}  // namespace

Adafactor::Adafactor(const Parameters<float>& parameters) : Adafactor(parameters, Settings()) {}

Adafactor::Slot Adafactor::slot_of(const ParameterSpec& spec, const Settings& settings) {
  Slot slot;
  slot.name = spec.name;
  slot.tensors = spec.per_expert ? spec.shape.front() : 1;
  slot.columns = spec.size() / slot.tensors;
  const std::size_t axes = spec.shape.size() - (spec.per_expert ? 1 : 0);
  if (axes == 2) {
    const std::int64_t rows = spec.shape[spec.shape.size() - 2];
    const std::int64_t columns = spec.shape.back();
    slot.factored = spec.per_expert || std::min(rows, columns) >= settings.min_dim_size_to_factor;
    if (slot.factored) {
      slot.rows = rows;
      slot.columns = columns;
    }
  }
  return slot;
}

Adafactor::Adafactor(const Parameters<float>& parameters, Settings settings) : settings_(settings) {
  for (const Parameter<float>& parameter : parameters.all) {
    Slot slot = slot_of(parameter.spec, settings_);
    if (slot.factored) {
      slot.means.v_row.resize(index(slot.tensors * slot.rows));
      slot.means.v_col.resize(index(slot.tensors * slot.columns));
    } else {
      slot.means.v.resize(index(slot.tensors * slot.columns));
    }
    slot.next = slot.means;
    slots_.push_back(std::move(slot));
  }
}

Adafactor::Sizes Adafactor::sizes_of(const ParameterSpec& spec, const Settings& settings) {
  const Slot slot = slot_of(spec, settings);
  if (!slot.factored) return {.state = slot.tensors * slot.columns, .scratch = 0};
  constexpr auto kDouble = static_cast<std::int64_t>(sizeof(double));
  constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
  return {.state = slot.tensors * (slot.rows + slot.columns),
          .scratch =
              std::min(kMaxRowChunks, slot.rows) * (slot.columns + 1) * kDouble + (slot.rows + slot.columns) * kFloat};
}

/// Calls work(part) for each matrix of each parameter, in their order.
template <class Work>
void Adafactor::for_parts(Parameters<float>& parameters, const Work& work) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    for (std::int64_t tensor = 0; tensor < slot.tensors; ++tensor) {
      const std::int64_t offset = tensor * slot.rows * slot.columns;
      work(Part{slot, tensor, parameters.all[i].value + offset, parameters.all[i].grad + offset});
    }
  }
}

UpdateNorms Adafactor::update(Parameters<float>& parameters, double learning_rate) {
  if (parameters.all.size() != slots_.size()) throw std::logic_error("Adafactor: other parameters than at the start");
  plans_.clear();
  double values = 0;
  double change = 0;
  for_parts(parameters, [&](const Part& part) {
    const Plan& plan =
        plans_.emplace_back(part.slot.factored ? plan_factored(part, learning_rate) : plan_whole(part, learning_rate));
    if (!plan.certain && !stays_finite(part, plan)) throw NotFiniteUpdate(part.slot.name);
    values += plan.values;
    change += plan.change;
  });
  std::size_t done = 0;
  for_parts(parameters, [&](const Part& part) {
    const Plan& plan = plans_[done++];
    part.slot.factored ? apply_factored(part, plan) : apply_whole(part, plan);
  });
  for (Slot& slot : slots_) {
    std::ranges::copy(slot.next.v, slot.means.v.begin());
    std::ranges::copy(slot.next.v_row, slot.means.v_row.begin());
    std::ranges::copy(slot.next.v_col, slot.means.v_col.begin());
  }
  ++steps_;
  return {std::sqrt(values), std::sqrt(change)};
}

Adafactor::Plan Adafactor::plan_factored(const Part& part, double learning_rate) {
  const std::int64_t rows = part.slot.rows;
  const std::int64_t columns = part.slot.columns;
  const float* grad = part.grad;
  const double beta2 = decay();
  const float* v_row = part.slot.means.v_row.data() + part.tensor * rows;
  const float* v_col = part.slot.means.v_col.data() + part.tensor * columns;
  float* next_row = part.slot.next.v_row.data() + part.tensor * rows;
  float* next_col = part.slot.next.v_col.data() + part.tensor * columns;

  const std::int64_t chunk_rows = (rows + kMaxRowChunks - 1) / kMaxRowChunks;
  const std::int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
  std::vector<double>& column_sums = scratch_.column_sums;
  column_sums.assign(index(chunks * columns), 0);
  parallel_chunks(rows, chunk_rows, [&](std::int64_t begin, std::int64_t end) {
    double* sums = column_sums.data() + begin / chunk_rows * columns;
    for (std::int64_t row = begin; row < end; ++row) {
      const float* g = grad + row * columns;
      for (std::int64_t column = 0; column < columns; ++column) sums[column] += squared(g[column]);
      const double sum = sum_of(0, columns, [g](std::int64_t i) { return squared(g[i]); });
      const double mean = sum / static_cast<double>(columns) + settings_.eps1;
      next_row[row] = static_cast<float>(beta2 * v_row[row] + (1 - beta2) * mean);
    }
  });
  for (std::int64_t column = 0; column < columns; ++column) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += column_sums[index(chunk * columns + column)];
    const double mean = sum / static_cast<double>(rows) + settings_.eps1;
    next_col[column] = static_cast<float>(beta2 * v_col[column] + (1 - beta2) * mean);
  }
  Plan plan;
  const double row_sum = sum_of(0, rows, [next_row](std::int64_t i) { return static_cast<double>(next_row[i]); });
  plan.row_mean = row_sum / static_cast<double>(rows);
  find_factors(part, plan.row_mean);
  const std::vector<float>& row_factor = scratch_.row_factor;
  const std::vector<float>& column_factor = scratch_.column_factor;

  std::vector<double>& update_sums = scratch_.update_sums;
  update_sums.assign(index(chunks), 0);
  parallel_chunks(rows, chunk_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* g = grad + row * columns;
      const float factor = row_factor[index(row)];
      update_sums[index(begin / chunk_rows)] +=
          sum_of(0, columns, [&](std::int64_t i) { return squared(g[i] * factor * column_factor[index(i)]); });
    }
  });
  double update_sum = 0;
  for (const double sum : update_sums) update_sum += sum;

  const std::int64_t size = rows * columns;
  plan.values = sum_of_squares(part.value, size);
  plan.step = static_cast<float>(step_size(learning_rate, rms(plan.values, size), rms(update_sum, size)));
  plan.change = squared(plan.step) * update_sum;
  // No element exceeds the square root of the sum of squares. Intermediate results must be finite, too: the gradient is
  // multiplied by the row's factor first and by the column's last.
  constexpr double kMost = std::numeric_limits<float>::max() / 2;
  const double most = std::sqrt(plan.change);
  const double least_column = std::ranges::min(column_factor);
  const double largest_row = std::ranges::max(row_factor);
  plan.certain =
      plan.step * largest_row < kMost && most / least_column < kMost && std::sqrt(plan.values) + most < kLargestWeight;
  return plan;
}

void Adafactor::find_factors(const Part& part, double row_mean) {
  const std::int64_t rows = part.slot.rows;
  const std::int64_t columns = part.slot.columns;
  const float* v_row = part.slot.next.v_row.data() + part.tensor * rows;
  const float* v_col = part.slot.next.v_col.data() + part.tensor * columns;
  std::vector<float>& row_factor = scratch_.row_factor;
  std::vector<float>& column_factor = scratch_.column_factor;
  row_factor.resize(index(rows));
  column_factor.resize(index(columns));
  for (std::int64_t column = 0; column < columns; ++column)
    column_factor[index(column)] = static_cast<float>(1 / std::sqrt(static_cast<double>(v_col[column])));
  for (std::int64_t row = 0; row < rows; ++row)
    row_factor[index(row)] = static_cast<float>(1 / std::sqrt(static_cast<double>(v_row[row]) / row_mean));
}

void Adafactor::apply_factored(const Part& part, const Plan& plan) {
  const std::int64_t rows = part.slot.rows;
  const std::int64_t columns = part.slot.columns;
  const float step = plan.step;
  find_factors(part, plan.row_mean);
  const std::vector<float>& row_factor = scratch_.row_factor;
  const std::vector<float>& column_factor = scratch_.column_factor;
  const std::int64_t chunk_rows = (rows + kMaxRowChunks - 1) / kMaxRowChunks;
  parallel_chunks(rows, chunk_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* g = part.grad + row * columns;
      float* to = part.value + row * columns;
      const float factor = step * row_factor[index(row)];
      for (std::int64_t column = 0; column < columns; ++column)
        to[column] -= g[column] * factor * column_factor[index(column)];
    }
  });
}

Adafactor::Plan Adafactor::plan_whole(const Part& part, double learning_rate) {
  const std::int64_t size = part.slot.columns;
  const float* grad = part.grad;
  const double beta2 = decay();
  const float* v = part.slot.means.v.data() + part.tensor * size;
  float* next = part.slot.next.v.data() + part.tensor * size;
  parallel_chunks(size, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      next[i] = static_cast<float>(beta2 * v[i] + (1 - beta2) * (squared(grad[i]) + settings_.eps1));
  });
  const auto scaled = [next, grad](std::int64_t i) { return grad[i] / std::sqrt(next[i]); };
  const double update_sum = parallel_sum(size, [&scaled](std::int64_t i) { return squared(scaled(i)); });
  Plan plan;
  plan.values = sum_of_squares(part.value, size);
  plan.step = static_cast<float>(step_size(learning_rate, rms(plan.values, size), rms(update_sum, size)));
  plan.change = squared(plan.step) * update_sum;
  plan.certain = std::sqrt(plan.values) + std::sqrt(plan.change) < kLargestWeight;
  return plan;
}

void Adafactor::apply_whole(const Part& part, const Plan& plan) {
  const std::int64_t size = part.slot.columns;
  const float* grad = part.grad;
  const float* v = part.slot.next.v.data() + part.tensor * size;
  float* value = part.value;
  const auto scaled = [v, grad](std::int64_t i) { return grad[i] / std::sqrt(v[i]); };
  const float step = plan.step;
  parallel_chunks(size, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) value[i] -= step * scaled(i);
  });
}

bool Adafactor::stays_finite(const Part& part, const Plan& plan) {
  const std::int64_t rows = part.slot.rows;
  const std::int64_t columns = part.slot.columns;
  if (part.slot.factored) find_factors(part, plan.row_mean);
  const float* v = part.slot.next.v.data() + (part.slot.factored ? 0 : part.tensor * columns);
  const auto change = [&](std::int64_t i) {
    if (!part.slot.factored) return plan.step * (part.grad[i] / std::sqrt(v[i]));
    return part.grad[i] * (plan.step * scratch_.row_factor[index(i / columns)]) *
           scratch_.column_factor[index(i % columns)];
  };
  std::vector<std::uint8_t>& too_large = scratch_.too_large;
  too_large.assign(index((rows * columns + kChunk - 1) / kChunk), 0);
  parallel_chunks(rows * columns, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      if (!(std::abs(static_cast<double>(part.value[i]) - static_cast<double>(change(i))) <= kLargestWeight))
        too_large[index(begin / kChunk)] = 1;
  });
  return std::ranges::count(too_large, 1) == 0;
}

double Adafactor::step_size(double learning_rate, double value_rms, double update_rms) const {
  return learning_rate * std::max(value_rms, settings_.eps2) / std::max(1.0, update_rms / settings_.clipping_threshold);
}

double Adafactor::decay() const {
  return 1 - std::pow(static_cast<double>(steps_ + 1), -settings_.decay_exponent);
}

std::vector<StateTensor> Adafactor::state() {
  std::vector<StateTensor> tensors;
  for (Slot& slot : slots_) {
    if (slot.factored) {
      tensors.push_back({slot.name + ".v_row", {slot.tensors, slot.rows}, slot.means.v_row.data()});
      tensors.push_back({slot.name + ".v_col", {slot.tensors, slot.columns}, slot.means.v_col.data()});
    } else {
      tensors.push_back({slot.name + ".v", {slot.tensors, slot.columns}, slot.means.v.data()});
    }
  }
  return tensors;
}

}  // namespace millrace
