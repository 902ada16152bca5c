#pragma once

#include "model/config/model_config.h"

namespace millrace {

/// Amount of work for the matrix products of one or more micro-batches.
struct ProductWork {
  double positions = 0;        ///< Rows times T, padding included: only attention and head skip it.
  double loss_positions = 0;   ///< Positions with a loss weight: only these pass through the head.
  double attention_pairs = 0;  ///< (query, key) pairs of attention: n (n + 1) / 2 for each segment of n positions.
  double expert_pairs = 0;     ///< (token, choice) pairs within capacity, summed over MoE layers.
};

/// Floating-point operations of the matrix products of forward and backward; a product (M, K) (K, N) takes 2 M K N.
/// Backward takes two products for each one of forward, hence the factor 3:
///   3 (positions (L (8 H A + 8 H F) + L_moe 2 H E) + attention_pairs L 4 A + expert_pairs 8 H F + loss_positions 2 V
///   H)
/// with A = heads * head_dim; a feed-forward network's weights are H 2F, H F and F H; every layer has a dense one (in
/// MoE layers the shared one). Recomputed forward passes do not count.
double product_operations(const ModelConfig& config, const ProductWork& work);

}  // namespace millrace
