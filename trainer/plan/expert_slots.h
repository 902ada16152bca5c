#pragma once

#include <cstdint>

#include "model/config/model_config.h"
#include "model/matrix.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// What ranks that share a model's experts send each other for them. On a processor an expert has a slot for each of
/// its (token, choice) pairs, in bf16 up to the next multiple of 32, of which the empty ones are sent, too
/// (model/layers/slot_exchange.h).

/// Slots of one expert for so many pairs of a micro-batch.
double slots_for(const TrainConfig& train, double pairs);

/// Those of an expert that takes as many pairs as it may of so many positions. With CapacityRule::dropless all tokens
/// might want the same expert: its fair share of them.
double slots_of_full_expert(const ModelConfig& model, const TrainConfig& train, Index positions);

/// Most slots that so many positions can fill at so many of the experts (model/layers/router.h, of a processor).
std::uint64_t most_slots(const ModelConfig& model, const TrainConfig& train, Index positions, int experts);

/// Slots of one rank in one MoE layer and micro-batch.
struct ExpertSlots {
  double sent = 0;   ///< Of its own tokens, at other ranks' experts.
  double taken = 0;  ///< Of other ranks' tokens, at its experts.
};

/// Bytes that a rank sends to the `members` - 1 others for one MoE layer and micro-batch:
///   forward    (E + 2) numbers of 8 bytes to each: its first row, where its experts' slots begin; the tokens that
///              it sends, H numbers each, and what its experts made of those it took, both as products read them (bf16:
///              2 bytes); with dropout inside experts 4 bytes for each slot that it sends
///   backward   the gradient of what it was given, as products read it, and that of tokens, in f32
/// and the forward pass so often.
double expert_bytes(const ModelConfig& model, const TrainConfig& train, int members, const ExpertSlots& slots,
                    int forward_passes);

/// `recompute` runs each layer's forward pass twice, but the last one's once (model/transformer/transformer.cpp).
int forward_passes(const ModelConfig& model, const TrainConfig& train, int layer);

}  // namespace millrace
