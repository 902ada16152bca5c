#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/optimizer/owned_parts.h"
#include "model/pass/pass.h"
#include "trainer/ranked/number_exchange.h"

namespace millrace {

/// Which tensors of a model.
enum class TensorKind : std::uint8_t { all, shared, experts };

/// Where the numbers of parts lie that ranks own, as shares for an exchange.
class RankShares {
 public:
  /// `owners`: the parts of each rank. `parameters`: the whole model's, of which those that are asked for have memory.
  /// Both outlive this.
  RankShares(const std::vector<std::vector<ParameterPart>>& owners, const Parameters& parameters)
      : owners_(owners), parameters_(parameters) {}

  /// A share of each entry of `members`: what its ranks own, of that kind.
  Shares of(const std::vector<std::vector<int>>& members, Tensor Parameter::*tensor, TensorKind kind,
            const GradientPlace& place = {}) const;

 private:
  const std::vector<std::vector<ParameterPart>>& owners_;
  const Parameters& parameters_;
};

/// A tensor without gaps.
Piece numbers_of(const Tensor& tensor);

}  // namespace millrace
