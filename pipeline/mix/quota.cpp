#include "pipeline/mix/quota.h"

#include <stdexcept>

namespace millrace {

std::size_t choose_by_quota(std::span<const Quota> claimants, std::uint64_t longest) {
  __extension__ using Wide = unsigned __int128;
  Wide weights = 0;
  Wide taken = 0;
  for (const Quota& claimant : claimants) {
    if (claimant.weight == 0) continue;
    weights += claimant.weight;
    taken += claimant.taken;
  }
  const Quota* best = nullptr;
  for (const Quota& claimant : claimants) {
    if (claimant.weight == 0 || claimant.weight * (taken + claimant.next) <= claimant.taken * weights) continue;
    if (best == nullptr ||
        Wide{claimant.taken + longest} * best->weight < Wide{best->taken + longest} * claimant.weight)
      best = &claimant;
  }
  if (best == nullptr) throw std::logic_error("no claimant has a share");
  return static_cast<std::size_t>(best - claimants.data());
}

std::size_t draw_by_weight(std::span<const Quota> claimants, ItemRng& rng) {
  std::uint64_t sum = 0;
  for (const Quota& claimant : claimants) sum += claimant.weight;
  std::uint64_t left = rng.below(sum);
  std::size_t index = 0;
  while (left >= claimants[index].weight) left -= claimants[index++].weight;
  return index;
}

}  // namespace millrace
