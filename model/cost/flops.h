#pragma once

#include "model/config/model_config.h"

namespace millrace {

/// What the matrix products of one or more micro-batches work on.
struct ProductWork {
  double positions = 0;        ///< Rows times T, padding too: it goes through all but attention and head.
  double loss_positions = 0;   ///< With a loss weight: those which the head sees.
  double attention_pairs = 0;  ///< (query, key) that attention joins: n (n + 1) / 2 of each segment of n positions.
  double expert_pairs = 0;     ///< (token, choice) pairs within capacity, summed over MoE layers.
};

/// Floating-point operations of the matrix products of forward and backward; a product (M, K) (K, N) takes 2 M K N.
/// Backward takes two products for each of forward's, hence the 3:
///   3 (positions (L (8 H A + 8 H F) + L_moe 2 H E) + attention_pairs L 4 A + expert_pairs 8 H F + loss_positions 2 V
///   H)
/// with A = heads * head_dim; a feed-forward network's weights are H 2F, H F and F H; every layer has a dense one (in
/// MoE layers the shared one). A forward pass that is run again for its activations does not count.
double product_operations(const ModelConfig& config, const ProductWork& work);

}  // namespace millrace
