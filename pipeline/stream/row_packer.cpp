#include "pipeline/stream/row_packer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "stages/objectives/examples_to_row.h"

namespace millrace {
namespace {

template <class T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    std::ranges::move(from, std::back_inserter(to));
  }
}

}  // namespace

void RowPacker::add(MixedSegment mixed, Example example) {
  ExampleOrigin& origin = mixed.origin;
  if (!row_.examples.empty()) {
    const ExampleOrigin& before = row_.examples.back();
    origin.first = before.first + before.inputs + before.targets;
  }
  origin.inputs = static_cast<std::uint32_t>(example.inputs.size());
  origin.targets = static_cast<std::uint32_t>(example.targets.size());
  origin.loss_tokens = example.targets.size();
  origin.trimmed_tokens = example.trimmed;
  row_.number = mixed.row;
  append(row_.raw_tokens, std::move(mixed.segment.tokens));
  row_.examples.push_back(std::move(origin));
  append(row_.rejects, std::move(mixed.rejects));
  append(row_.reject_corpora, std::move(mixed.reject_corpora));
  row_.after = std::move(mixed.after);
  examples_.push_back(std::move(example));
}

std::optional<StreamRow> RowPacker::take() {
  if (examples_.empty()) return std::nullopt;
  const Objective& objective = config_.phases[row_.examples.front().phase].objective;
  row_.row = examples_to_row(examples_, pad_, config_.sequence_length, objective.attention);
  examples_.clear();
  return std::exchange(row_, {});
}

}  // namespace millrace
