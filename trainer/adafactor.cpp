#include "trainer/adafactor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "trainer/fixed_chunks.h"

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
      slot.v_row.resize(index(slot.tensors * slot.rows));
      slot.v_col.resize(index(slot.tensors * slot.columns));
    } else {
      slot.v.resize(index(slot.tensors * slot.columns));
    }
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

UpdateNorms Adafactor::update(Parameters<float>& parameters, double learning_rate) {
  if (parameters.all.size() != slots_.size()) throw std::logic_error("Adafactor: other parameters than at the start");
  Squares sums;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    for (std::int64_t tensor = 0; tensor < slot.tensors; ++tensor) {
      const std::int64_t offset = tensor * slot.rows * slot.columns;
      float* value = parameters.all[i].value + offset;
      const float* grad = parameters.all[i].grad + offset;
      const Squares squares = slot.factored ? update_factored(slot, tensor, value, grad, learning_rate)
                                            : update_whole(slot, tensor, value, grad, learning_rate);
      sums.values += squares.values;
      sums.change += squares.change;
    }
  }
  ++steps_;
  return {std::sqrt(sums.values), std::sqrt(sums.change)};
}

Adafactor::Squares Adafactor::update_factored(Slot& slot, std::int64_t tensor, float* value, const float* grad,
                                              double learning_rate) {
  const std::int64_t rows = slot.rows;
  const std::int64_t columns = slot.columns;
  const double beta2 = decay();
  float* v_row = slot.v_row.data() + tensor * rows;
  float* v_col = slot.v_col.data() + tensor * columns;

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
      v_row[row] = static_cast<float>(beta2 * v_row[row] + (1 - beta2) * mean);
    }
  });
  std::vector<float>& column_factor = scratch_.column_factor;
  column_factor.resize(index(columns));
  for (std::int64_t column = 0; column < columns; ++column) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += column_sums[index(chunk * columns + column)];
    const double mean = sum / static_cast<double>(rows) + settings_.eps1;
    v_col[column] = static_cast<float>(beta2 * v_col[column] + (1 - beta2) * mean);
    column_factor[index(column)] = static_cast<float>(1 / std::sqrt(static_cast<double>(v_col[column])));
  }
  const double row_sum = sum_of(0, rows, [v_row](std::int64_t i) { return static_cast<double>(v_row[i]); });
  const double row_mean = row_sum / static_cast<double>(rows);
  std::vector<float>& row_factor = scratch_.row_factor;
  row_factor.resize(index(rows));
  for (std::int64_t row = 0; row < rows; ++row)
    row_factor[index(row)] = static_cast<float>(1 / std::sqrt(static_cast<double>(v_row[row]) / row_mean));

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
  const double value_sum = sum_of_squares(value, size);
  const auto step = static_cast<float>(step_size(learning_rate, rms(value_sum, size), rms(update_sum, size)));
  parallel_chunks(rows, chunk_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* g = grad + row * columns;
      float* to = value + row * columns;
      const float factor = step * row_factor[index(row)];
      for (std::int64_t column = 0; column < columns; ++column)
        to[column] -= g[column] * factor * column_factor[index(column)];
    }
  });
  return {value_sum, squared(step) * update_sum};
}

Adafactor::Squares Adafactor::update_whole(Slot& slot, std::int64_t tensor, float* value, const float* grad,
                                           double learning_rate) {
  const std::int64_t size = slot.columns;
  const double beta2 = decay();
  float* v = slot.v.data() + tensor * size;
  parallel_chunks(size, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      v[i] = static_cast<float>(beta2 * v[i] + (1 - beta2) * (squared(grad[i]) + settings_.eps1));
  });
  const auto scaled = [v, grad](std::int64_t i) { return grad[i] / std::sqrt(v[i]); };
  const double update_sum = parallel_sum(size, [&scaled](std::int64_t i) { return squared(scaled(i)); });
  const double value_sum = sum_of_squares(value, size);
  const auto step = static_cast<float>(step_size(learning_rate, rms(value_sum, size), rms(update_sum, size)));
  parallel_chunks(size, kChunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) value[i] -= step * scaled(i);
  });
  return {value_sum, squared(step) * update_sum};
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
      tensors.push_back({slot.name + ".v_row", {slot.tensors, slot.rows}, slot.v_row.data()});
      tensors.push_back({slot.name + ".v_col", {slot.tensors, slot.columns}, slot.v_col.data()});
    } else {
      tensors.push_back({slot.name + ".v", {slot.tensors, slot.columns}, slot.v.data()});
    }
  }
  return tensors;
}

}  // namespace millrace
