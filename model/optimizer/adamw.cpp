#include "model/optimizer/adamw.h"

#include <cmath>
#include <cstddef>

#include "model/parameters/parameter_spec.h"

namespace millrace {
namespace {

RowPieces pieces_of(const Tensor& shape) {
  return RowPieces::of(shape.rows, shape.columns);
}

Index blocks_of(const ParameterSpec& spec) {
  const Tensor shape = parameter_tensor(spec, nullptr, Type::f32);
  return shape.batch * pieces_of(shape).pieces;
}

Index blocks_of(const Parameters& parameters) {
  Index blocks = 0;
  for (const Parameter& parameter : parameters.all) blocks += blocks_of(parameter.spec);
  return blocks;
}

}  // namespace

AdamW::AdamW(Device& device, const Parameters& parameters, Settings settings)
    : device_(device),
      parameters_(parameters),
      settings_(settings),
      state_(device),
      table_(device, blocks_of(parameters), kTableColumns) {
  Index size = 0;
  for (const Parameter& parameter : parameters.all) size += 2 * parameter.spec.size();
  const Tensor state = state_.shaped(1, size, device.real());
  device.clear(state.data, static_cast<std::size_t>(size) * bytes_of(state.type));
  Index first = 0;
  for (const Parameter& parameter : parameters.all) {
    const auto next = [&] {
      const Tensor tensor = parameter_tensor(parameter.spec, state.column_range(first, 0).data, state.type);
      first += parameter.spec.size();
      return tensor;
    };
    const Tensor m = next();
    const Tensor v = next();
    slots_.push_back({m, v, pieces_of(m), pieces_, blocks_of(parameter.spec)});
    pieces_ += slots_.back().blocks;
  }
}

double AdamW::gradient_norm() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    device_.run(SumSquares{parameters_.all[i].gradient, slot.pieces, table_.pieces(slot.first_piece, slot.blocks)},
                slot.blocks);
  }
  table_.read();
  return std::sqrt(table_.sum(0, pieces_, kValues));
}

UpdateNorms AdamW::update(double learning_rate, double gradient_factor) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const Parameter& parameter = parameters_.all[i];
    device_.run(AdamWCheck{parameter.value, parameter.gradient, slot.m, slot.v, slot.pieces,
                           step_of(parameter.spec, learning_rate, gradient_factor), kLargestWeight,
                           table_.pieces(slot.first_piece, slot.blocks)},
                slot.blocks);
  }
  table_.read();
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (table_.sum(slots_[i].first_piece, slots_[i].blocks, kValues) > 0)
      throw NotFiniteUpdate(parameters_.all[i].spec.name);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const Parameter& parameter = parameters_.all[i];
    device_.run(AdamWApply{parameter.value, parameter.gradient, parameter.image, slot.m, slot.v, slot.pieces,
                           step_of(parameter.spec, learning_rate, gradient_factor),
                           table_.pieces(slot.first_piece, slot.blocks)},
                slot.blocks);
  }
  table_.read();
  ++updates_;
  return {std::sqrt(table_.sum(0, pieces_, kValues)), std::sqrt(table_.sum(0, pieces_, kChange))};
}

AdamWStep AdamW::step_of(const ParameterSpec& spec, double learning_rate, double gradient_factor) const {
  const auto t = static_cast<double>(updates_ + 1);
  const bool is_vector = spec.shape.size() < 2;
  return {.gradient = gradient_factor,
          .beta1 = settings_.beta1,
          .beta2 = settings_.beta2,
          .rate = learning_rate / (1 - std::pow(settings_.beta1, t)),
          .root_scale = 1 / std::sqrt(1 - std::pow(settings_.beta2, t)),
          .eps = settings_.eps,
          .kept = is_vector ? 1 : 1 - learning_rate * settings_.weight_decay};
}

std::vector<StateTensor> AdamW::state() const {
  std::vector<StateTensor> tensors;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const ParameterSpec& spec = parameters_.all[i].spec;
    tensors.push_back({spec.name + ".m", spec.shape, slots_[i].m});
    tensors.push_back({spec.name + ".v", spec.shape, slots_[i].v});
  }
  return tensors;
}

}  // namespace millrace
