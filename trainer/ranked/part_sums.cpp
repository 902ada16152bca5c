#include "trainer/ranked/part_sums.h"

#include <algorithm>
#include <stdexcept>

namespace millrace {
namespace {

/// The numbers of a range of pieces, `width` each, in a table that begins with piece `first`.
std::span<double> part_of(std::span<double> table, Index first, PieceRange range, std::size_t width) {
  return table.subspan(static_cast<std::size_t>(range.first - first) * width,
                       static_cast<std::size_t>(range.count) * width);
}

}  // namespace

PartSums::PartSums(Communicator& ranks, const std::vector<ParameterSpec>& specs,
                   const std::vector<std::vector<ParameterPart>>& owners)
    : ranks_(ranks), numbers_(specs), owned_(owners.size()), told_(owners.size()) {
  for (std::size_t owner = 0; owner < owners.size(); ++owner) {
    for (const ParameterPart& part : owners[owner]) {
      const PieceRange range = numbers_.of(part);
      owned_[owner].push_back(range);
      if (numbers_.is_cut(part))
        matrices_[numbers_.of(part.parameter, part.first_matrix).first].emplace_back(static_cast<int>(owner), range);
    }
  }
}

void PartSums::complete(PieceRange pieces, std::span<double> table) {
  if (owned_.size() == 1) return;
  const std::size_t width = table.size() / static_cast<std::size_t>(pieces.count);
  if (pieces == numbers_.all())
    complete_all(table, width);
  else
    complete_matrix(pieces, table, width);
}

void PartSums::complete_all(std::span<double> table, std::size_t width) {
  const auto own = static_cast<std::size_t>(ranks_.rank());
  std::vector<Communicator::Out> places;
  for (std::size_t owner = 0; owner < owned_.size(); ++owner) {
    std::size_t size = 0;
    for (const PieceRange& range : owned_[owner]) size += static_cast<std::size_t>(range.count) * width;
    told_[owner].resize(size);
    places.push_back(std::as_writable_bytes(std::span(told_[owner])));
  }
  const auto each = [&](std::size_t owner, auto&& copy) {
    auto at = told_[owner].begin();
    for (const PieceRange& range : owned_[owner]) {
      const std::span<double> there = part_of(table, 0, range, width);
      copy(there, at);
      at += static_cast<std::ptrdiff_t>(there.size());
    }
  };
  each(own, [](std::span<double> there, auto at) { std::ranges::copy(there, at); });
  ranks_.wait(ranks_.all_gather(places[own], places));
  for (std::size_t owner = 0; owner < owned_.size(); ++owner)
    if (owner != own)
      each(owner, [](std::span<double> there, auto at) { std::copy_n(at, there.size(), there.begin()); });
}

void PartSums::complete_matrix(PieceRange matrix, std::span<double> table, std::size_t width) {
  const auto found = matrices_.find(matrix.first);
  if (found == matrices_.end()) throw std::logic_error("a matrix that is not cut was to be completed");
  PieceRange own;
  for (const auto& [owner, range] : found->second)
    if (owner == ranks_.rank()) own = range;
  std::vector<Pending> begun;
  for (const auto& [owner, range] : found->second) {
    if (owner == ranks_.rank()) continue;
    begun.push_back(ranks_.send(std::as_bytes(part_of(table, matrix.first, own, width)), owner));
    begun.push_back(ranks_.receive(std::as_writable_bytes(part_of(table, matrix.first, range, width)), owner));
  }
  for (const Pending pending : begun) ranks_.wait(pending);
}

}  // namespace millrace
