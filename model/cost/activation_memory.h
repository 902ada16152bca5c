#pragma once

#include <cstdint>

#include "model/bf16.h"
#include "model/config/model_config.h"
#include "model/transformer/transformer.h"

namespace millrace {

/// What a model's passes are made of.
struct PassShape {
  int rows = 0;    ///< B, of a micro-batch.
  int length = 0;  ///< T
  Precision precision = Precision::f32;
  Recompute recompute = Recompute::no;
  int scored_rows = 0;  ///< Of the largest batch that score() is given, at most `rows`; 0: none.
  int threads = 1;      ///< Of OpenMP.
};

/// Bytes that a Transformer<float> holds beside its parameters once it has passed such micro-batches, if each expert
/// takes all that its capacity allows and every position carries loss; without oneDNN's own memory. At most 2^62. It
/// mirrors what the layers allocate: a layer that keeps something else is counted here anew.
std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape);

}  // namespace millrace
