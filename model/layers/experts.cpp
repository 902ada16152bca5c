#include "model/layers/experts.h"

#include "model/kernels/slots.h"
#include "model/kernels/swiglu.h"

namespace millrace {
namespace {

const std::int32_t* ints(const Buffer& buffer) {
  return static_cast<const std::int32_t*>(buffer.tensor().data);
}

}  // namespace

Experts::Experts(const ModelConfig& config, const Parameters& parameters, const std::string& layer)
    : layer_(parameters.named(layer + "mlp.gate_weight").spec.layer),
      experts_(config.num_experts),
      norm_(parameters.named(layer + "post_attention_layernorm.weight"), config.rms_norm_eps),
      router_(config, parameters.named(layer + "mlp.gate_weight")),
      gate_up_({&parameters.named(layer + "mlp.experts.wi_gate"), &parameters.named(layer + "mlp.experts.wi_up")},
               Linear::Layout::in_out),
      down_({&parameters.named(layer + "mlp.experts.wo")}, Linear::Layout::in_out) {}

SlotRows Experts::rows_of(const Pass& pass, const Routing& routing) const {
  const RoutingPlan& plan = pass.routing;
  const Index places = plan.groups * plan.capacity.places();
  if (plan.slot_multiple == 0) return {nullptr, places};
  return {ints(routing.first), std::min(routing.most_slots, places + 31)};
}

void Experts::drop_inside(const Pass& pass, const Routing& routing, const Tensor& x) const {
  const DropoutMask mask = pass.dropout_mask(layer_, DropoutPlace::experts_hidden);
  if (!mask) return;
  const auto choices = static_cast<int>(pass.routing.choices);
  pass.device.run(DropSlots{x, ints(routing.pair), ints(routing.expert), ints(routing.first) + experts_, choices, mask},
                  x.rows);
}

void Experts::forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const {
  PartTimer timer(pass.profile, Part::router);
  Device& device = pass.device;
  const Tensor x = saved.x.shaped(h.rows, h.columns, device.low());
  const bool is_full = device.low() == device.real();
  const Tensor full = is_full ? x : saved.full.shaped(h.rows, h.columns, device.real());
  norm_.forward(pass, h, x, saved.inverse.shaped(1, h.rows, device.real()), is_full ? Tensor{} : full);
  Routing& routing = saved.routing;
  router_.forward(pass, full, routing);

  timer.next(Part::dispatch);
  const Index most = routing.most_slots;
  const std::int32_t* count = ints(routing.first) + experts_;
  const auto choices = static_cast<int>(pass.routing.choices);
  const Tensor slots = saved.slots.shaped(most, h.columns, device.low());
  device.run(GatherSlots{x, ints(routing.pair), count, slots, choices}, most);

  timer.next(Part::experts);
  const SlotRows rows = rows_of(pass, routing);
  const Tensor gated = saved.gated.shaped(most, gate_up_.outputs(), device.low());
  const Tensor hidden = scratch.slot_hidden.shaped(most, down_.inputs(), device.low());
  const Tensor y = saved.y.shaped(most, h.columns, device.low());
  gate_up_.forward(device, slots, gated, rows);
  device.run(SwigluRows{gated, hidden, count}, most);
  drop_inside(pass, routing, hidden);
  down_.forward(device, hidden, y, rows);

  timer.next(Part::dispatch);
  device.run(CombineSlots{h, y, routing.probabilities.tensor(), ints(routing.expert), ints(routing.slot), out, choices,
                          pass.dropout_mask(layer_, DropoutPlace::experts)},
             h.rows);
}

void Experts::backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const {
  PartTimer timer(pass.profile, Part::dispatch);
  Device& device = pass.device;
  const Routing& routing = saved.routing;
  const Index most = routing.most_slots;
  const std::int32_t* count = ints(routing.first) + experts_;
  const auto choices = static_cast<int>(pass.routing.choices);
  const Tensor d_gates = scratch.d_gates.shaped(h.rows, choices, device.real());
  const Tensor dy = scratch.dy_slots.shaped(most, h.columns, device.low());
  Tensor d_added = dh;
  if (const DropoutMask mask = pass.dropout_mask(layer_, DropoutPlace::experts)) {
    d_added = scratch.added.shaped(h.rows, h.columns, device.real());
    device.run(DropRows{dh, d_added, mask}, h.rows);
  }
  device.run(CombineBackward{d_added, saved.y.tensor(), routing.probabilities.tensor(), ints(routing.expert),
                             ints(routing.pair), count, d_gates, dy, choices},
             most);

  timer.next(Part::experts);
  const SlotRows rows = rows_of(pass, routing);
  const Tensor gated = saved.gated.tensor();
  const Tensor hidden = scratch.slot_hidden.shaped(most, down_.inputs(), device.low());
  const Tensor d_hidden = scratch.slot_d_hidden.shaped(most, down_.inputs(), device.low());
  down_.backward_input(device, dy, d_hidden, rows);
  drop_inside(pass, routing, d_hidden);
  device.run(SwigluBackward{gated, d_hidden, hidden, count}, most);
  drop_inside(pass, routing, hidden);
  down_.backward_weights(pass, dy, hidden, rows);
  gate_up_.backward_weights(pass, gated, saved.slots.tensor(), rows);
  const Tensor dx_slots = scratch.dx_slots.shaped(most, h.columns, device.real());
  gate_up_.backward_input(device, gated, dx_slots, rows);

  timer.next(Part::dispatch);
  const Tensor dx = scratch.dx.shaped(h.rows, h.columns, device.real());
  device.run(GatherSlotsBackward{dx_slots, ints(routing.slot), dx, choices}, h.rows);
  timer.next(Part::router);
  const Tensor full = device.low() == device.real() ? saved.x.tensor() : saved.full.tensor();
  router_.backward(pass, d_gates, full, routing, scratch.d_logits, dx);
  norm_.backward(pass, dx, h, saved.inverse.tensor(), scratch.gains, dh);
}

}  // namespace millrace
