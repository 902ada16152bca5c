#include "stages/objectives/examples_to_row.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <stdexcept>

namespace millrace {
namespace {

/// Where each segment of a row begins; its last entry is where the padding does.
std::vector<std::size_t> segment_starts(std::span<const Example> examples, AttentionReach attention) {
  std::vector<std::size_t> starts;
  std::size_t at = 0;
  for (const Example& example : examples) {
    starts.push_back(at);
    if (attention == AttentionReach::document) {
      for (const std::uint32_t start : example.document_starts) starts.push_back(at + example.inputs.size() + start);
    }
    at += example.inputs.size() + example.targets.size();
  }
  starts.push_back(at);
  return starts;
}

}  // namespace

Row examples_to_row(std::span<const Example> examples, TokenId pad, int row_length, AttentionReach attention) {
  const auto length = static_cast<std::size_t>(row_length);
  const std::vector<std::size_t> starts = segment_starts(examples, attention);
  if (starts.back() > length) throw std::logic_error("examples are longer than their row");

  Row row;
  row.labels.reserve(length);
  row.loss_weights.reserve(length);
  for (const Example& example : examples) {
    row.labels.insert(row.labels.end(), example.inputs.begin(), example.inputs.end());
    row.labels.insert(row.labels.end(), example.targets.begin(), example.targets.end());
    row.loss_weights.insert(row.loss_weights.end(), example.inputs.size(), 0.0F);
    row.loss_weights.insert(row.loss_weights.end(), example.targets.size(), 1.0F);
  }
  row.labels.resize(length, pad);
  row.loss_weights.resize(length, 0.0F);

  row.tokens.reserve(length);
  row.segment_ids.reserve(length);
  for (std::size_t segment = 0; segment + 1 < starts.size(); ++segment) {
    const std::size_t from = starts[segment];
    const std::size_t to = starts[segment + 1];
    if (from == to) continue;
    row.tokens.push_back(pad);
    row.tokens.insert(row.tokens.end(), row.labels.begin() + static_cast<std::ptrdiff_t>(from),
                      row.labels.begin() + static_cast<std::ptrdiff_t>(to) - 1);
    row.segment_ids.insert(row.segment_ids.end(), to - from, static_cast<std::int32_t>(segment) + 1);
  }
  row.tokens.resize(length, pad);
  row.segment_ids.resize(length, 0);

  row.positions.resize(length);
  std::iota(row.positions.begin(), row.positions.end(), 0);
  if (attention == AttentionReach::document) {
    const auto position = [&row](std::size_t at) { return row.positions.begin() + static_cast<std::ptrdiff_t>(at); };
    for (std::size_t segment = 0; segment + 1 < starts.size(); ++segment)
      std::iota(position(starts[segment]), position(starts[segment + 1]), 0);
    std::iota(position(starts.back()), row.positions.end(), 0);
  }
  return row;
}

}  // namespace millrace
