#include "model/optimizer/adamw.h"

#include <cmath>
#include <cstddef>

#include "model/parameters/parameter_spec.h"

namespace millrace {
AdamW::AdamW(Device& device, const Parameters& parameters, Settings settings)
    : AdamW(device, parameters, settings, {whole_parameters(specs_of(parameters)), nullptr}) {}

AdamW::AdamW(Device& device, const Parameters& parameters, Settings settings, const OwnedParts& owned)
    : device_(device),
      parameters_(parameters),
      settings_(settings),
      numbers_(specs_of(parameters)),
      state_(device),
      table_(device, numbers_.count(), kTableColumns, owned.exchange) {
  numbers_.expect_parts(owned.parts);
  const auto own = [&](const ParameterPart& part) { return part_of(parameters.all[part.parameter].value, part); };
  Index size = 0;
  for (const ParameterPart& part : owned.parts) size += 2 * own(part).size();
  const Tensor state = state_.shaped(1, size, device.real());
  device.clear(state.data, static_cast<std::size_t>(size) * bytes_of(state.type));
  Index first = 0;
  for (const ParameterPart& part : owned.parts) {
    const auto next = [&] {
      Tensor tensor = own(part);
      tensor.data = state.column_range(first, 0).data;
      first += tensor.size();
      return tensor;
    };
    const Tensor m = next();
    const Tensor v = next();
    slots_.push_back({part, m, v, numbers_.pieces(part), numbers_.of(part)});
  }
}

double AdamW::gradient_norm() {
  for (const Slot& slot : slots_) {
    const Tensor gradient = part_of(parameters_.all[slot.part.parameter].gradient, slot.part);
    device_.run(SumSquares{gradient, slot.pieces, table_.pieces(slot.numbers)}, slot.numbers.count);
  }
  table_.read(1);
  return std::sqrt(table_.sum(numbers_.all(), kValues));
}

UpdateNorms AdamW::update(double learning_rate, double gradient_factor) {
  for (const Slot& slot : slots_) {
    const Parameter& parameter = parameters_.all[slot.part.parameter];
    device_.run(AdamWCheck{part_of(parameter.value, slot.part), part_of(parameter.gradient, slot.part), slot.m, slot.v,
                           slot.pieces, step_of(parameter.spec, learning_rate, gradient_factor), kLargestWeight,
                           table_.pieces(slot.numbers)},
                slot.numbers.count);
  }
  table_.read(1);
  for (std::size_t i = 0; i < parameters_.all.size(); ++i)
    if (table_.sum(numbers_.of(i), kValues) > 0) throw NotFiniteUpdate(parameters_.all[i].spec.name);
  for (const Slot& slot : slots_) {
    const Parameter& parameter = parameters_.all[slot.part.parameter];
    device_.run(AdamWApply{part_of(parameter.value, slot.part), part_of(parameter.gradient, slot.part),
                           part_of(parameter.image, slot.part), slot.m, slot.v, slot.pieces,
                           step_of(parameter.spec, learning_rate, gradient_factor), table_.pieces(slot.numbers)},
                slot.numbers.count);
  }
  table_.read();
  ++updates_;
  return {std::sqrt(table_.sum(numbers_.all(), kValues)), std::sqrt(table_.sum(numbers_.all(), kChange))};
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
  for (const Slot& slot : slots_) {
    const ParameterSpec& spec = parameters_.all[slot.part.parameter].spec;
    const Index columns = slot.m.columns;
    const Index first =
        (slot.part.first_matrix * numbers_.pieces(slot.part.parameter).rows + slot.part.first_row) * columns;
    tensors.push_back({spec.name + ".m", spec.shape, slot.m, first});
    tensors.push_back({spec.name + ".v", spec.shape, slot.v, first});
  }
  return tensors;
}

}  // namespace millrace
