#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "model/optimizer/owned_parts.h"
#include "trainer/distributed/communicator.h"

namespace millrace {

/// Tells the sums over pieces of rows among the ranks that share the update of a model's parameters: those of all
/// pieces by an all_gather, those of one cut matrix by messages between its owners.
class PartSums : public PartExchange {
 public:
  /// `owners`: the parts of each rank of `ranks`, which outlives this.
  PartSums(Communicator& ranks, const std::vector<ParameterSpec>& specs,
           const std::vector<std::vector<ParameterPart>>& owners);

  void complete(PieceRange pieces, std::span<double> table) override;

 private:
  void complete_all(std::span<double> table, std::size_t width);
  void complete_matrix(PieceRange matrix, std::span<double> table, std::size_t width);

  Communicator& ranks_;
  PieceNumbers numbers_;
  std::vector<std::vector<PieceRange>> owned_;                         ///< By rank.
  std::map<Index, std::vector<std::pair<int, PieceRange>>> matrices_;  ///< Cut ones by their first piece: who has what.
  std::vector<std::vector<double>> told_;                              ///< Of each rank, of its pieces.
};

}  // namespace millrace
