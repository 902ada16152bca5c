#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "stages/philox.h"

namespace millrace {

/// The first claimant that is more than `longest` off its share, too much or too little; empty if all are within. In
/// integers of 128 bits: |x_i W - w_i N| <= longest W. A claimant of weight 0 takes no part.
inline std::string out_of_share(const std::vector<ShareUnits>& weights, const std::vector<std::uint64_t>& taken,
                                std::uint64_t longest) {
  __extension__ using Wide = __int128;
  Wide all_weights = 0;
  Wide all_taken = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    all_weights += weights[i];
    all_taken += taken[i];
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    const Wide off = Wide{taken[i]} * all_weights - Wide{weights[i]} * all_taken;
    if (off > longest * all_weights || -off > longest * all_weights)
      return "claimant " + std::to_string(i) + " has " + std::to_string(taken[i]) + " of " +
             std::to_string(static_cast<std::uint64_t>(all_taken)) + " for a weight of " + std::to_string(weights[i]);
  }
  return "";
}

/// Shares that sum to kShareUnits, proportional to weights from 0.0001 to 0.9999, log-uniformly spread.
inline std::vector<ShareUnits> random_shares(std::size_t count, ItemRng& rng) {
  std::vector<double> weights(count);
  double sum = 0;
  for (double& weight : weights) sum += weight = 0.0001 * std::pow(9999.0, rng.uniform());
  std::vector<ShareUnits> shares;
  ShareUnits given = 0;
  for (std::size_t i = 1; i < count; ++i) {
    shares.push_back(static_cast<ShareUnits>(weights[i] / sum * static_cast<double>(kShareUnits)));
    given += shares.back();
  }
  shares.push_back(kShareUnits - given);
  return shares;
}

}  // namespace millrace
