#include "trainer/ranked/rank_shares.h"

namespace millrace {

Piece numbers_of(const Tensor& tensor) {
  return {static_cast<float*>(tensor.data), static_cast<std::size_t>(tensor.size())};
}

Shares RankShares::of(const std::vector<std::vector<int>>& members, Tensor Parameter::*tensor, TensorKind kind,
                      const GradientPlace& place) const {
  Shares shares(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    for (const int rank : members[i]) {
      for (const ParameterPart& part : owners_[static_cast<std::size_t>(rank)]) {
        const Parameter& parameter = parameters_.all[part.parameter];
        const bool is_experts = parameter.spec.per_expert;
        if (kind != TensorKind::all && is_experts != (kind == TensorKind::experts)) continue;
        shares[i].push_back(numbers_of(place.of(part_of(parameter.*tensor, part), is_experts)));
      }
    }
  }
  return shares;
}

}  // namespace millrace
