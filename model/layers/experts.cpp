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
      experts_here_(parameters.named(layer + "mlp.experts.wo").factor().batch),
      norm_(parameters.named(layer + "post_attention_layernorm.weight"), config.rms_norm_eps),
      router_(config, parameters.named(layer + "mlp.gate_weight")),
      gate_up_({&parameters.named(layer + "mlp.experts.wi_gate"), &parameters.named(layer + "mlp.experts.wi_up")},
               Linear::Layout::in_out),
      down_({&parameters.named(layer + "mlp.experts.wo")}, Linear::Layout::in_out) {}

SlotRows Experts::rows_of(const Pass& pass, const Routing& routing, const std::int32_t* first) const {
  const RoutingPlan& plan = pass.routing;
  const Index places = plan.groups * plan.capacity.places();
  if (plan.slot_multiple == 0) return {nullptr, places};
  return {first, std::min(routing.most_slots, places + 31)};
}

Experts::Work Experts::own_work(const Pass& pass, Saved& saved) const {
  const Routing& routing = saved.routing;
  return {.slots = saved.slots.tensor(),
          .gated = saved.gated.tensor(),
          .rows = rows_of(pass, routing, ints(routing.first)),
          .count = ints(routing.first) + experts_,
          .pair = ints(routing.pair),
          .expert = ints(routing.expert),
          .mask = pass.dropout_mask(layer_, DropoutPlace::experts_hidden)};
}

Experts::Work Experts::work_of(const Pass& pass, const SlotExchange& exchange, std::size_t member, Saved& saved) const {
  const Met& met = saved.met;
  return {.slots = met.slots[member].tensor(),
          .gated = met.gated[member].tensor(),
          .rows = rows_of(pass, saved.routing, ints(met.first[member])),
          .count = ints(met.first[member]) + experts_here_,
          .pair = ints(met.pair[member]),
          .expert = ints(met.expert[member]),
          .mask = exchange.mask_of(member, pass.dropout_mask(layer_, DropoutPlace::experts_hidden))};
}

void Experts::drop(const Pass& pass, const Work& work, const Tensor& x) const {
  if (!work.mask) return;
  const auto choices = static_cast<int>(pass.routing.choices);
  pass.device.run(DropSlots{x, work.pair, work.expert, work.count, choices, work.mask}, x.rows);
}

void Experts::compute(const Pass& pass, const Work& work, Scratch& scratch, const Tensor& y) const {
  Device& device = pass.device;
  const Tensor hidden = scratch.slot_hidden.shaped(work.slots.rows, down_.inputs(), device.low());
  gate_up_.forward(device, work.slots, work.gated, work.rows);
  device.run(SwigluRows{work.gated, hidden, work.count}, SwigluRows::blocks(hidden));
  drop(pass, work, hidden);
  down_.forward(device, hidden, y, work.rows);
}

void Experts::compute_backward(const Pass& pass, const Work& work, Scratch& scratch, const Tensor& dy,
                               const Tensor& d_slots) const {
  Device& device = pass.device;
  const Tensor hidden = scratch.slot_hidden.shaped(work.slots.rows, down_.inputs(), device.low());
  const Tensor d_hidden = scratch.slot_d_hidden.shaped(work.slots.rows, down_.inputs(), device.low());
  down_.backward_input(device, dy, d_hidden, work.rows);
  drop(pass, work, d_hidden);
  device.run(SwigluBackward{work.gated, d_hidden, hidden, work.count}, hidden.rows);
  drop(pass, work, hidden);
  down_.backward_weights(pass, dy, hidden, work.rows);
  gate_up_.backward_weights(pass, work.gated, work.slots, work.rows);
  gate_up_.backward_input(device, work.gated, d_slots, work.rows);
}

void Experts::compute_shared(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& slots,
                             const Tensor& y) const {
  SlotExchange exchange(pass, experts_here_, saved.met);
  exchange.meet(saved.routing, pass.dropout_mask(layer_, DropoutPlace::experts_hidden));
  exchange.shape(saved.met.slots, slots.columns, slots.type);
  exchange.shape(saved.met.gated, gate_up_.outputs(), slots.type);
  exchange.shape(scratch.met_y, y.columns, y.type);
  exchange.take(slots, saved.met.slots);
  for (std::size_t member = 0; member < scratch.met_y.size(); ++member)
    compute(pass, work_of(pass, exchange, member, saved), scratch, scratch.met_y[member].tensor());
  exchange.bring(scratch.met_y, y);
}

/// Members' micro-batches follow each other in the step: this is the order in which one alone would add them up.
void Experts::compute_shared_backward(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& dy,
                                      const Tensor& d_slots) const {
  SlotExchange exchange(pass, experts_here_, saved.met);
  exchange.shape(scratch.met_y, dy.columns, dy.type);
  exchange.shape(scratch.met_slots, d_slots.columns, d_slots.type);
  exchange.take(dy, scratch.met_y);
  for (std::size_t member = 0; member < scratch.met_y.size(); ++member)
    compute_backward(pass, work_of(pass, exchange, member, saved), scratch, scratch.met_y[member].tensor(),
                     scratch.met_slots[member].tensor());
  exchange.bring(scratch.met_slots, d_slots);
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
  Buffer& gathered = pass.exchange == nullptr ? saved.slots : scratch.dy_slots;
  const Tensor slots = gathered.shaped(most, h.columns, device.low());
  device.run(GatherSlots{x, ints(routing.pair), count, slots, choices}, most);

  timer.next(Part::experts);
  const Tensor y = saved.y.shaped(most, h.columns, device.low());
  if (pass.exchange == nullptr) {
    saved.gated.shaped(most, gate_up_.outputs(), device.low());
    compute(pass, own_work(pass, saved), scratch, y);
  } else {
    compute_shared(pass, saved, scratch, slots, y);
  }

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
  const Tensor dx_slots = scratch.dx_slots.shaped(most, h.columns, device.real());
  if (pass.exchange == nullptr)
    compute_backward(pass, own_work(pass, saved), scratch, dy, dx_slots);
  else
    compute_shared_backward(pass, saved, scratch, dy, dx_slots);

  timer.next(Part::dispatch);
  const Tensor dx = scratch.dx.shaped(h.rows, h.columns, device.real());
  device.run(GatherSlotsBackward{dx_slots, ints(routing.slot), dx, choices}, h.rows);
  timer.next(Part::router);
  const Tensor full = device.low() == device.real() ? saved.x.tensor() : saved.full.tensor();
  router_.backward(pass, d_gates, full, routing, scratch.d_logits, dx);
  norm_.backward(pass, dx, h, saved.inverse.tensor(), scratch.gains, dh);
}

}  // namespace millrace
