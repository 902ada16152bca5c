#include "model/parameters/parameter.h"

#include <algorithm>
#include <stdexcept>

#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kAlignment = 16;  ///< Elements: 64 bytes of float.

Index aligned_size(const ParameterSpec& spec) {
  return range_count(spec.size(), kAlignment) * kAlignment;
}

void clear(Device& device, const Tensor& tensor) {
  device.clear(tensor.data, static_cast<std::size_t>(tensor.size()) * bytes_of(tensor.type));
}

/// A piece of a tensor at a time is drawn by all threads and given to the device.
template <class Scalar>
void draw_all(Device& device, const Parameters& parameters, const UniformNumbers& uniform) {
  constexpr Index kPiece = 1 << 22;
  std::vector<Scalar> drawn;
  for (const Parameter& parameter : parameters.all) {
    const ParameterSpec& spec = parameter.spec;
    auto* to = static_cast<Scalar*>(parameter.value.data);
    for (Index first = 0; first < spec.size(); first += kPiece) {
      drawn.resize(static_cast<std::size_t>(std::min(kPiece, spec.size() - first)));
      draw_values<Scalar>(spec, spec.number, spec.first_element + first, drawn, uniform);
      device.to_device(to + first, drawn.data(), drawn.size() * sizeof(Scalar));
    }
  }
}

}  // namespace

bool has_image(const ParameterSpec& spec) {
  return spec.shape.size() > 1 && !spec.name.ends_with("gate_weight") && !is_looked_up(spec);
}

bool is_looked_up(const ParameterSpec& spec) {
  return spec.name == "model.embed_tokens.weight";
}

Tensor parameter_tensor(const ParameterSpec& spec, void* data, Type type) {
  const Index columns = spec.shape.back();
  const Index batch = spec.per_expert ? spec.shape.front() : 1;
  const Index rows = spec.size() / columns / batch;
  return {data, type, rows, columns, columns, batch, rows * columns};
}

const Parameter& Parameters::named(const std::string& name) const {
  for (const Parameter& parameter : all)
    if (parameter.spec.name == name) return parameter;
  throw std::logic_error("no parameter named " + name);
}

ParameterMemory::ParameterMemory(Device& device, const ModelConfig& config, Gradients gradients)
    : ParameterMemory(device, parameter_specs(config), gradients) {}

ParameterMemory::ParameterMemory(Device& device, const std::vector<ParameterSpec>& specs, Gradients gradients)
    : ParameterMemory(device, specs, gradients, {}) {}

ParameterMemory::ParameterMemory(Device& device, const std::vector<ParameterSpec>& specs, Gradients gradients,
                                 const MoreGradients& more)
    : device_(device), whole_(more.whole), values_(device), gradients_(device), images_(device) {
  for (const ParameterSpec& spec : specs) {
    all_ += aligned_size(spec);
    shared_ += spec.per_expert ? 0 : aligned_size(spec);
  }
  const Tensor values = values_.shaped(1, all_, device.real());
  const Tensor images = device.precision() == Precision::bf16 ? images_.shaped(1, all_, Type::bf16) : Tensor{};
  Tensor grads;
  if (gradients == Gradients::allocated)
    grads = gradients_.shaped(1, (1 + more.whole) * all_ + more.shared * shared_, device.real());
  Index next_shared = 0;
  Index next_of_experts = shared_;
  for (const ParameterSpec& spec : specs) {
    Index& next = spec.per_expert ? next_of_experts : next_shared;
    const auto part = [&](const Tensor& all) {
      if (!all) return Tensor{};
      clear(device, all.column_range(next, aligned_size(spec)));
      return parameter_tensor(spec, all.column_range(next, 0).data, all.type);
    };
    Parameter parameter{spec, part(values), part(grads), has_image(spec) ? part(images) : Tensor{}};
    views_.all.push_back(std::move(parameter));
    next += aligned_size(spec);
  }
}

Tensor ParameterMemory::whole_gradients(int number) const {
  return gradients_.tensor().column_range(number * all_, all_);
}

Tensor ParameterMemory::shared_gradients(int number) const {
  const Index first = number == 0 ? 0 : (1 + whole_) * all_ + (number - 1) * shared_;
  return gradients_.tensor().column_range(first, shared_);
}

void ParameterMemory::zero_gradients() {
  for (const Parameter& parameter : views_.all) clear(device_, parameter.gradient);
}

void ParameterMemory::round_values() {
  for (const Parameter& parameter : views_.all) {
    if (!parameter.image) continue;
    const auto rows_of = [](const Tensor& all) {
      return Tensor{all.data, all.type, all.batch * all.rows, all.columns, all.columns};
    };
    device_.run(RoundRows{rows_of(parameter.value), rows_of(parameter.image)},
                parameter.value.batch * parameter.value.rows);
  }
}

void ParameterMemory::initialize(const UniformNumbers& uniform) {
  if (device_.precision() == Precision::f64)
    draw_all<double>(device_, views_, uniform);
  else
    draw_all<float>(device_, views_, uniform);
}

}  // namespace millrace
