#include "model/transformer/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
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

/// The first of the largest of `count` logits. In parts, which a compiler makes vectors of.
std::size_t most_likely(const std::vector<float>& logits, std::size_t count) {
  constexpr std::size_t kParts = 16;
  float parts[kParts];
  std::fill_n(parts, kParts, logits[0]);
  std::size_t i = 0;
  for (; i + kParts <= count; i += kParts)
    for (std::size_t part = 0; part < kParts; ++part)
      parts[part] = logits[i + part] > parts[part] ? logits[i + part] : parts[part];
  for (; i < count; ++i) parts[0] = std::max(parts[0], logits[i]);
  const float largest = *std::max_element(parts, parts + kParts);
  return static_cast<std::size_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
}

/// Ids from the most to the least likely, ties to the lower id; sorted no further than they are asked for.
class Ranking {
 public:
  Ranking(const std::vector<float>& logits, int count) : logits_(logits), ids_(static_cast<std::size_t>(count)) {
    std::iota(ids_.begin(), ids_.end(), 0);
  }

  std::int32_t operator[](std::size_t rank) {
    if (rank >= sorted_) sort_more(rank);
    return ids_[rank];
  }

 private:
  void sort_more(std::size_t rank) {
    const std::size_t end = std::min(ids_.size(), std::max<std::size_t>(256, 8 * rank));
    const auto is_before = [this](std::int32_t a, std::int32_t b) {
      const float of_a = logits_[static_cast<std::size_t>(a)];
      const float of_b = logits_[static_cast<std::size_t>(b)];
      return of_a > of_b || (of_a == of_b && a < b);
    };
    const auto at = [this](std::size_t place) { return ids_.begin() + static_cast<std::ptrdiff_t>(place); };
    if (end < ids_.size()) std::nth_element(at(sorted_), at(end), ids_.end(), is_before);
    std::sort(at(sorted_), at(end), is_before);
    sorted_ = end;
  }

  const std::vector<float>& logits_;
  std::vector<std::int32_t> ids_;
  std::size_t sorted_ = 0;
};

}  // namespace

std::int32_t sample(const std::vector<float>& logits, int allowed_ids, const SamplingOptions& options,
                    std::uint64_t draw) {
  const std::size_t best = most_likely(logits, static_cast<std::size_t>(allowed_ids));
  if (options.temperature <= 0) return static_cast<std::int32_t>(best);
  const int most = options.top_k > 0 ? std::min(options.top_k, allowed_ids) : allowed_ids;
  Ranking ids(logits, allowed_ids);
  std::vector<double> weight;
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(most); ++i) {
    const float behind = logits[static_cast<std::size_t>(ids[i])] - logits[best];
    const double one = std::exp(static_cast<double>(behind) / options.temperature);
    if (sum + one == sum) break;  // Nor do those after it, which are no larger, change the sum.
    weight.push_back(one);
    sum += one;
  }
  double kept = 0;  // The fewest of the most likely whose share reaches top_p.
  std::size_t count = 0;
  while (count < weight.size() && (count == 0 || kept < options.top_p * sum)) kept += weight[count++];
  double left = uniform(options.seed, draw) * kept;
  for (std::size_t i = 0; i < count; ++i) {
    left -= weight[i];
    if (left < 0) return ids[i];
  }
  return ids[count - 1];
}

}  // namespace millrace
