#include "cli/views/statistics_view.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "cli/console/text_table.h"
#include "pipeline/json_text.h"
#include "stages/objectives/span_corruption.h"

namespace millrace {
namespace {

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// The expected share of the raw tokens in the targets: a prefix is split uniformly.
double asked_mask_ratio(const Denoiser& denoiser) {
  switch (denoiser.kind) {
    case DenoiserKind::span:
      return denoiser.mask_ratio;
    case DenoiserKind::prefix:
      return 0.5;
    case DenoiserKind::causal:
      break;
  }
  return 1;
}

/// Spans of `from` to `to` tokens: their number, and their probability under the exact distribution.
struct SpanBucket {
  std::uint64_t from, to, count;
  double asked;
};

/// Buckets up to 1, 2, 4, 8, ... tokens. All segments of a denoiser have the same length.
std::vector<SpanBucket> span_buckets(const Denoiser& denoiser, const DenoiserStatistics& found) {
  std::vector<SpanBucket> buckets;
  if (denoiser.kind != DenoiserKind::span || found.examples == 0) return buckets;
  const auto [noise, spans] =
      noise_counts(static_cast<int>(found.segment_tokens / found.examples), denoiser.mask_ratio, denoiser.mean_span);
  const std::vector<double> law = piece_length_law(noise, spans);
  const std::uint64_t longest = found.span_counts.empty() ? 1 : found.span_counts.rbegin()->first;
  for (std::uint64_t from = 1, to = 1; from <= longest; from = to + 1, to *= 2) {
    SpanBucket bucket{from, to, 0, 0};
    for (const auto& [length, count] : found.span_counts)
      if (length >= from && length <= to) bucket.count += count;
    for (std::uint64_t length = from; length <= std::min<std::uint64_t>(to, law.size()); ++length)
      bucket.asked += law[length - 1];
    buckets.push_back(bucket);
  }
  return buckets;
}

/// A corpus's examples of one denoiser, next to the number expected from the denoiser's share.
struct Cell {
  double asked = 0;
  std::uint64_t examples = 0;
  /// Shares are floating-point: 0.1 x 10 examples may come to 1.0000000000000002.
  bool within_one() const { return std::abs(static_cast<double>(examples) - asked) <= 1 + 1e-9; }
};

std::vector<Cell> cells_of(const std::vector<std::uint64_t>& consumed, const Objective& objective) {
  std::uint64_t all = 0;
  for (const std::uint64_t count : consumed) all += count;
  std::vector<Cell> cells;
  for (std::size_t d = 0; d < consumed.size(); ++d)
    cells.push_back({objective.denoisers[d].share * static_cast<double>(all), consumed[d]});
  return cells;
}

bool all_within_one(const PhaseStatistics& phase, const Objective& objective) {
  return std::ranges::all_of(phase.consumed, [&](const auto& corpus) {
    return std::ranges::all_of(cells_of(corpus.second, objective), &Cell::within_one);
  });
}

Json denoiser_json(const Denoiser& denoiser, const DenoiserStatistics& found, const PhaseStatistics& phase) {
  Json buckets = Json::array();
  for (const SpanBucket& bucket : span_buckets(denoiser, found))
    buckets.push_back({{"from", bucket.from},
                       {"to", bucket.to},
                       {"count", bucket.count},
                       {"asked", bucket.asked},
                       {"realised", ratio(bucket.count, found.spans())}});
  const bool spans = denoiser.kind == DenoiserKind::span;
  return {
      {"name", denoiser.name},
      {"kind", name_of(denoiser.kind)},
      {"examples", found.examples},
      {"share", {{"asked", denoiser.share}, {"realised", ratio(found.examples, phase.examples)}}},
      {"raw_tokens_per_example", ratio(found.raw_tokens, found.examples)},
      {"positions_per_example", ratio(found.positions, found.examples)},
      {"loss_per_example", ratio(found.loss_positions, found.examples)},
      {"trimmed_tokens", found.trimmed_tokens},
      {"mask_ratio", {{"asked", asked_mask_ratio(denoiser)}, {"realised", found.mask_ratio()}}},
      {"mean_span",
       {{"asked", spans ? Json(denoiser.mean_span) : Json()}, {"realised", spans ? Json(found.mean_span()) : Json()}}},
      {"span_lengths", buckets}};
}

Json corpora_json(const PhaseStatistics& phase, const Phase& asked, const std::vector<std::string>& corpora) {
  Json json = Json::array();
  for (const auto& [corpus, consumed] : phase.consumed) {
    const auto wanted = std::ranges::find(asked.mix.corpora, corpora[corpus], &Corpus::name);
    Json denoisers = Json::array();
    const std::vector<Cell> cells = cells_of(consumed, asked.objective);
    for (std::size_t d = 0; d < cells.size(); ++d)
      denoisers.push_back({{"name", asked.objective.denoisers[d].name},
                           {"asked", cells[d].asked},
                           {"examples", cells[d].examples},
                           {"within_one_example", cells[d].within_one()}});
    const std::uint64_t raw_tokens = phase.corpus_raw_tokens.at(corpus);
    json.push_back({{"name", corpora[corpus]},
                    {"raw_tokens", raw_tokens},
                    {"share",
                     {{"asked", static_cast<double>(wanted->share) / static_cast<double>(kShareUnits)},
                      {"realised", ratio(raw_tokens, phase.raw_tokens)}}},
                    {"denoisers", denoisers}});
  }
  return json;
}

std::string denoiser_table(const PhaseStatistics& phase, const Objective& objective) {
  TextTable table({{"denoiser", Align::left},
                   {"examples"},
                   {"asked"},
                   {"realised"},
                   {"raw tokens"},
                   {"positions"},
                   {"with loss"},
                   {"trimmed"},
                   {"masked: asked"},
                   {"realised"},
                   {"mean span: asked"},
                   {"realised"}});
  for (std::size_t d = 0; d < phase.denoisers.size(); ++d) {
    const Denoiser& denoiser = objective.denoisers[d];
    const DenoiserStatistics& found = phase.denoisers[d];
    const bool spans = denoiser.kind == DenoiserKind::span;
    table.add({denoiser.name, fmt::format("{}", found.examples), percent(denoiser.share),
               percent(ratio(found.examples, phase.examples)),
               fmt::format("{:.1f}", ratio(found.raw_tokens, found.examples)),
               fmt::format("{:.1f}", ratio(found.positions, found.examples)),
               fmt::format("{:.1f}", ratio(found.loss_positions, found.examples)),
               fmt::format("{}", found.trimmed_tokens), percent(asked_mask_ratio(denoiser)),
               percent(found.mask_ratio()), spans ? fmt::format("{:g}", denoiser.mean_span) : "-",
               spans ? fmt::format("{:.3f}", found.mean_span()) : "-"});
  }
  return table.text();
}

/// For each bucket its probability under the exact distribution, and the realised share.
std::string span_table(const PhaseStatistics& phase, const Objective& objective) {
  TextTable table({{"spans of", Align::left}, {"tokens"}, {"count"}, {"by the law"}, {"realised"}});
  bool any = false;
  for (std::size_t d = 0; d < phase.denoisers.size(); ++d) {
    for (const SpanBucket& bucket : span_buckets(objective.denoisers[d], phase.denoisers[d])) {
      any = true;
      table.add(
          {objective.denoisers[d].name,
           bucket.from == bucket.to ? fmt::format("{}", bucket.to) : fmt::format("{} to {}", bucket.from, bucket.to),
           fmt::format("{}", bucket.count), percent(bucket.asked),
           percent(ratio(bucket.count, phase.denoisers[d].spans()))});
    }
  }
  return any ? "\n" + table.text() : "";
}

std::string corpus_table(const PhaseStatistics& phase, const Phase& asked, const std::vector<std::string>& corpora) {
  TextTable table({{"corpus", Align::left},
                   {"denoiser", Align::left},
                   {"asked"},
                   {"examples"},
                   {"within one example", Align::left}});
  for (const auto& [corpus, consumed] : phase.consumed) {
    const std::vector<Cell> cells = cells_of(consumed, asked.objective);
    for (std::size_t d = 0; d < cells.size(); ++d)
      table.add({corpora[corpus], asked.objective.denoisers[d].name, fmt::format("{:.1f}", cells[d].asked),
                 fmt::format("{}", cells[d].examples), cells[d].within_one() ? "yes" : "no"});
  }
  return "\n" + table.text();
}

}  // namespace

std::string statistics_text(const StreamStatistics& statistics, const StreamConfig& config,
                            const std::vector<std::string>& corpora) {
  std::string out;
  for (const auto& [number, phase] : statistics.phases()) {
    const Phase& asked = config.phases[number];
    const bool full = asked.objective.layout == RowLayout::full;
    out += fmt::format(
        "phase {}: mix {}, objective {}, layout {}\n{} rows of {} positions: {} real, {} with loss\n"
        "{} examples ({:.2f} a row) of {} raw tokens, {} trimmed\n\n",
        number + 1, asked.mix.name, asked.objective.name, full ? "full" : "openmoe", phase.rows, config.sequence_length,
        percent(ratio(phase.real_positions, phase.positions)), percent(ratio(phase.loss_positions, phase.positions)),
        phase.examples, ratio(phase.examples, phase.rows), phase.raw_tokens, phase.trimmed_tokens);
    out += denoiser_table(phase, asked.objective) + span_table(phase, asked.objective) +
           corpus_table(phase, asked, corpora);
    out += all_within_one(phase, asked.objective) ? "every corpus has each denoiser within one example of its share\n"
                                                  : "some corpus has a denoiser more than one example off its share\n";
  }
  return out;
}

Json statistics_json(const StreamStatistics& statistics, const StreamConfig& config,
                     const std::vector<std::string>& corpora) {
  Json phases = Json::array();
  std::uint64_t rows = 0, positions = 0, real = 0, loss = 0;
  for (const auto& [number, phase] : statistics.phases()) {
    const Phase& asked = config.phases[number];
    Json denoisers = Json::array();
    for (std::size_t d = 0; d < phase.denoisers.size(); ++d)
      denoisers.push_back(denoiser_json(asked.objective.denoisers[d], phase.denoisers[d], phase));
    phases.push_back({{"phase", number},
                      {"mix", asked.mix.name},
                      {"objective", asked.objective.name},
                      {"layout", asked.objective.layout == RowLayout::full ? "full" : "openmoe"},
                      {"rows", phase.rows},
                      {"positions", phase.positions},
                      {"real_share", ratio(phase.real_positions, phase.positions)},
                      {"loss_share", ratio(phase.loss_positions, phase.positions)},
                      {"examples", phase.examples},
                      {"raw_tokens", phase.raw_tokens},
                      {"trimmed_tokens", phase.trimmed_tokens},
                      {"denoisers", denoisers},
                      {"corpora", corpora_json(phase, asked, corpora)},
                      {"within_one_example", all_within_one(phase, asked.objective)}});
    rows += phase.rows;
    positions += phase.positions;
    real += phase.real_positions;
    loss += phase.loss_positions;
  }
  return {{"rows", rows},
          {"positions", positions},
          {"real_share", ratio(real, positions)},
          {"loss_share", ratio(loss, positions)},
          {"phases", phases}};
}

}  // namespace millrace
