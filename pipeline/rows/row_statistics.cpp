#include "pipeline/rows/row_statistics.h"

#include <algorithm>

namespace millrace {

std::uint64_t DenoiserStatistics::spans() const {
  std::uint64_t sum = 0;
  for (const auto& [length, count] : span_counts) sum += count;
  return sum;
}

double DenoiserStatistics::mask_ratio() const {
  return segment_tokens == 0 ? 0 : static_cast<double>(noise_tokens) / static_cast<double>(segment_tokens);
}

double DenoiserStatistics::mean_span() const {
  std::uint64_t tokens = 0;
  for (const auto& [length, count] : span_counts) tokens += length * count;
  return tokens == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(spans());
}

void StreamStatistics::add(const StreamRow& row) {
  if (row.examples.empty()) return;
  const Objective& objective = config_.phases[row.examples.front().phase].objective;
  PhaseStatistics& phase = phases_[row.examples.front().phase];
  phase.denoisers.resize(objective.denoisers.size());
  ++phase.rows;
  phase.positions += row.row.tokens.size();
  phase.real_positions += static_cast<std::uint64_t>(
      std::ranges::count_if(row.row.segment_ids, [](std::int32_t segment) { return segment != 0; }));
  phase.loss_positions +=
      static_cast<std::uint64_t>(std::ranges::count_if(row.row.loss_weights, [](float weight) { return weight != 0; }));
  for (const ExampleOrigin& origin : row.examples) {
    ++phase.examples;
    phase.raw_tokens += origin.raw_tokens;
    phase.trimmed_tokens += origin.trimmed_tokens;
    phase.corpus_raw_tokens[origin.corpus] += origin.raw_tokens;
    std::vector<std::uint64_t>& consumed = phase.consumed[origin.corpus];
    consumed.resize(objective.denoisers.size());
    ++consumed[origin.denoiser];
    DenoiserStatistics& denoiser = phase.denoisers[origin.denoiser];
    ++denoiser.examples;
    denoiser.raw_tokens += origin.raw_tokens;
    denoiser.segment_tokens += origin.segment_tokens;
    denoiser.trimmed_tokens += origin.trimmed_tokens;
    denoiser.positions += origin.inputs + origin.targets;
    denoiser.loss_positions += origin.targets;
    add_targets(row, origin, denoiser);
  }
}

/// Spans end at the next sentinel, or at eos.
void StreamStatistics::add_targets(const StreamRow& row, const ExampleOrigin& origin,
                                   DenoiserStatistics& statistics) const {
  const auto begin = row.row.labels.begin() + origin.first + origin.inputs;
  const auto end = begin + origin.targets - 1;
  const auto is_sentinel = [this](TokenId id) { return id >= first_sentinel_; };
  for (auto at = begin; at != end;) {
    const bool has_sentinel = is_sentinel(*at);
    if (has_sentinel) ++at;
    const auto next = std::find_if(at, end, is_sentinel);
    const auto length = static_cast<std::uint64_t>(next - at);
    statistics.noise_tokens += length;
    if (has_sentinel && length > 0) ++statistics.span_counts[length];
    at = next;
  }
}

}  // namespace millrace
