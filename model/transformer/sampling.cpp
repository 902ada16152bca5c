#include "model/transformer/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace millrace {

namespace {

/// Uniform in [0, 1): the finaliser of splitmix64 over the counter.
double uniform(std::uint64_t seed, std::uint64_t draw) {
  const auto mix = [](std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  };
  const std::uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15U) + draw * 0x9e3779b97f4a7c15U);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace

std::int32_t sample(const std::vector<float>& logits, int allowed_ids, const SamplingOptions& options,
                    std::uint64_t draw) {
  const auto end = logits.begin() + allowed_ids;
  const auto best = std::max_element(logits.begin(), end);
  if (options.temperature <= 0) return static_cast<std::int32_t>(best - logits.begin());
  std::vector<std::int32_t> ids(static_cast<std::size_t>(allowed_ids));
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  if (options.top_k > 0 && options.top_k < allowed_ids) ids.resize(static_cast<std::size_t>(options.top_k));
  std::vector<double> weight;
  double sum = 0;
  for (const std::int32_t id : ids) {
    weight.push_back(std::exp(static_cast<double>(logits[static_cast<std::size_t>(id)] - *best) / options.temperature));
    sum += weight.back();
  }
  double kept = 0;  // The fewest of the most likely whose share reaches top_p.
  std::size_t count = 0;
  while (count < ids.size() && (count == 0 || kept < options.top_p * sum)) kept += weight[count++];
  double left = uniform(options.seed, draw) * kept;
  for (std::size_t i = 0; i < count; ++i) {
    left -= weight[i];
    if (left < 0) return ids[i];
  }
  return ids[count - 1];
}

}  // namespace millrace
