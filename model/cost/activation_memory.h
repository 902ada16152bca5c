#pragma once

#include <cstdint>

#include "model/bf16.h"
#include "model/config/model_config.h"
#include "model/transformer/transformer.h"

namespace millrace {

/// Shape and settings of a model's passes.
struct PassShape {
  int rows = 0;    ///< B, of a micro-batch.
  int length = 0;  ///< T
  Precision precision = Precision::f32;
  Recompute recompute = Recompute::no;
  int scored_rows = 0;        ///< Rows of the largest batch passed to score(), at most `rows`; 0: none.
  int threads = 1;            ///< Of OpenMP.
  bool on_card = false;       ///< Experts have fixed places, and attention keeps what its gradients are made of.
  bool deterministic = true;  ///< DeviceSettings', of a card.
};

/// Bytes that a Transformer<float> holds beside its parameters after passes over such micro-batches, if every expert is
/// filled to capacity and every position has a loss weight; without oneDNN's own memory. At most 2^62. It repeats what
/// the layers allocate: change it together with them.
std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape);

/// The same of a stage, some layers of the model, with so many micro-batches between forward and backward at once, and
/// what its neighbours send it of each. No scores.
std::uint64_t stage_activation_bytes(const ModelConfig& config, const PassShape& shape, const LayerRange& layers,
                                     int at_once);

}  // namespace millrace
