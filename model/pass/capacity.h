#pragma once

#include "model/config/model_config.h"
#include "model/matrix.h"
#include "model/pass/token_batch.h"

namespace millrace {

/// How many pairs an expert takes and which tokens share that limit (docs/model.md, "Capacity").
struct Capacity {
  Index group = 0;  ///< Tokens per group; divides the tokens of the call.
  Index pairs = 0;  ///< Most (token, choice) pairs an expert takes of one group.

  Index places() const { return pairs < group ? pairs : group; }  ///< That an expert can fill with one group.
};
Capacity capacity_of(const ModelConfig& config, Index tokens, Mode mode);

}  // namespace millrace
