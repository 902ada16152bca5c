#include "trainer/plan/expert_slots.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "model/bf16.h"
#include "model/pass/capacity.h"

namespace millrace {
namespace {

/// model/pass/batch_on_device.cpp
int slot_multiple(const TrainConfig& train) {
  return train.precision == "bf16" ? 32 : 1;
}

}  // namespace

double slots_for(const TrainConfig& train, double pairs) {
  const double multiple = slot_multiple(train);
  return std::ceil(pairs / multiple) * multiple;
}

std::uint64_t most_slots(const ModelConfig& model, const TrainConfig& train, Index positions, int experts) {
  const Capacity capacity = capacity_of(model, positions, Mode::train);
  const Index places = positions / capacity.group * capacity.places() * experts;
  const Index chosen = positions * std::min(model.router_topk, model.num_experts);
  return static_cast<std::uint64_t>(std::min(chosen, places) + Index{experts} * (slot_multiple(train) - 1));
}

double slots_of_full_expert(const ModelConfig& model, const TrainConfig& train, Index positions) {
  const Capacity capacity = capacity_of(model, positions, Mode::train);
  const auto chosen = static_cast<double>(positions * std::min(model.router_topk, model.num_experts));
  const double fair = std::ceil(chosen / model.num_experts);
  if (model.capacity_rule == CapacityRule::dropless) return slots_for(train, fair);
  const Index groups = positions / capacity.group;
  return slots_for(train, std::min(fair, static_cast<double>(groups * capacity.places())));
}

int forward_passes(const ModelConfig& model, const TrainConfig& train, int layer) {
  return train.recompute && layer + 1 < model.num_hidden_layers ? 2 : 1;
}

double expert_bytes(const ModelConfig& model, const TrainConfig& train, int members, const ExpertSlots& slots,
                    int forward_passes) {
  const double hidden = model.hidden_size;
  const double low = train.precision == "bf16" ? sizeof(Bf16) : sizeof(float);
  const double told = (model.num_experts + 2.0) * sizeof(std::int64_t) * (members - 1);
  const double dropped = model.dropout_rate > 0 ? sizeof(std::int32_t) * slots.sent : 0;
  const double forward = told + dropped + hidden * low * (slots.sent + slots.taken);
  const double backward = hidden * (low * slots.sent + sizeof(float) * slots.taken);
  return forward * forward_passes + backward;
}

}  // namespace millrace
