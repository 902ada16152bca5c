#pragma once

#include <cstdint>

#include "model/config/model_config.h"

namespace millrace {

/// How many parameters a model has, and how many of them one token's forward pass uses: all but the experts that it is
/// not sent to. Of the embedding a token looks up one row, which is not counted.
struct ParameterCounts {
  std::int64_t layers = 0;            ///< Of all layers, with the final norm.
  std::int64_t activated_layers = 0;  ///< Of them, those that a token uses.
  std::int64_t head = 0;              ///< V H; as many has the embedding.

  std::int64_t all() const { return layers + 2 * head; }
  std::int64_t activated() const { return activated_layers + head; }
};
ParameterCounts parameter_counts(const ModelConfig& config);

/// 6 N D: floating-point operations that training takes, roughly: two for each parameter and position in the forward
/// pass and four in the backward pass. Without attention's products of pairs of positions; as if every position had a
/// loss and every chosen expert had room.
double training_operations(std::int64_t parameters, double positions);

}  // namespace millrace
