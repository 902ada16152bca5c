#include "pipeline/plan/mix_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "pipeline/plan/played_rows.h"

namespace millrace {
namespace {

/// Enough to know how much text a row holds on average.
constexpr double kPlayedRows = 4096;

/// Simulates from event to event: a phase's end, a corpus seen once, a corpus closed.
class Simulation {
 public:
  Simulation(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const PlanInputs& inputs)
      : config_(config), corpora_(corpora), inputs_(inputs), closed_(corpora.size(), false) {
    plan_.corpora.resize(corpora.size());
    if (inputs.phases.empty()) return;
    for (CorpusPlan& corpus : plan_.corpora) corpus.raw_tokens = 0;
  }

  MixPlan run(double horizon) {
    for (std::size_t phase = 0; phase < config_.phases.size(); ++phase) {
      const bool last = phase + 1 == config_.phases.size();
      const double until = last ? horizon : std::min(horizon, static_cast<double>(config_.phases[phase].until));
      if (plan_.positions >= until || stopped_) break;
      const std::vector<CorpusPlan> before = plan_.corpora;
      const double from = plan_.positions;
      while (plan_.positions < until && !stopped_) play(phase, until);
      plan_.phases.push_back(taken_since(before, from));
    }
    for (std::size_t i = 0; i < corpora_.size(); ++i) {
      CorpusPlan& corpus = plan_.corpora[i];
      const AvailableTokens* available = available_of(i);
      if (available != nullptr && available->tokens > 0 && corpus.raw_tokens)
        corpus.epochs = *corpus.raw_tokens / available->tokens;
    }
    return std::move(plan_);
  }

 private:
  PhaseTake taken_since(const std::vector<CorpusPlan>& before, double from) const {
    PhaseTake taken{from, plan_.positions, {}, {}};
    for (std::size_t i = 0; i < before.size(); ++i) {
      const CorpusPlan& now = plan_.corpora[i];
      taken.positions.push_back(now.positions - before[i].positions);
      taken.raw_tokens.push_back(now.raw_tokens ? std::optional(*now.raw_tokens - *before[i].raw_tokens)
                                                : std::nullopt);
    }
    return taken;
  }

  /// Up to the next event, at most to `until`.
  void play(std::size_t phase, double until) {
    const Mix& mix = config_.phases[phase].mix;
    const std::vector<std::size_t> indices = indices_in(corpora_, mix);
    std::vector<double> shares(indices.size(), 0);
    double open = 0;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (!closed_[indices[i]]) open += shares[i] = static_cast<double>(mix.corpora[i].share);
    }
    if (open == 0) {
      stopped_ = true;
      return;
    }
    for (double& share : shares) share /= open;
    double step = until - plan_.positions;
    const Text text = text_of(phase, indices, shares, step);
    std::optional<std::size_t> runs_out;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const std::optional<double> left = left_of(indices[i]);
      const double raw_per_position = text.raw_per_position[i];
      if (shares[i] == 0 || !left || raw_per_position == 0) continue;
      const double lasts = std::max(0.0, *left) / raw_per_position;
      if (lasts >= step) continue;
      step = lasts;
      runs_out = indices[i];
    }
    for (std::size_t i = 0; i < indices.size(); ++i) {
      CorpusPlan& taken = plan_.corpora[indices[i]];
      taken.positions += step * shares[i];
      if (taken.raw_tokens) *taken.raw_tokens += step * text.raw_per_position[i];
    }
    plan_.positions += step;
    examples_ += step * text.examples_per_position;
    if (!runs_out) return;
    plan_.corpora[*runs_out].exhausted_at = plan_.positions;
    const Corpus& corpus = corpora_[*runs_out].corpus;
    closed_[*runs_out] = corpus.max_epochs > 0;
    stopped_ = corpus.max_epochs > 0 && corpus.at_end == AtEnd::stop;
  }

  const AvailableTokens* available_of(std::size_t corpus) const {
    return inputs_.available.empty() ? nullptr : &inputs_.available[corpus];
  }

  /// Raw tokens until the corpus closes, or until it was seen once; nothing if no such event is to come.
  std::optional<double> left_of(std::size_t corpus) const {
    const AvailableTokens* available = available_of(corpus);
    const CorpusPlan& taken = plan_.corpora[corpus];
    if (available == nullptr || !taken.raw_tokens || taken.exhausted_at) return std::nullopt;
    const double epochs = corpora_[corpus].corpus.max_epochs;
    return (epochs > 0 ? epochs : 1) * available->tokens - *taken.raw_tokens;
  }

  /// How much text positions hold.
  struct Text {
    std::vector<double> raw_per_position;  ///< By corpus of the mix. Separators between documents are no raw tokens.
    double examples_per_position = 0;
  };

  /// In the next `step` positions. If these are few rows, all are simulated; else the first ones are taken as typical,
  /// and shares as the mix gives them.
  Text text_of(std::size_t phase, const std::vector<std::size_t>& indices, const std::vector<double>& shares,
               double step) const {
    Text text{std::vector<double>(indices.size(), 0)};
    if (inputs_.phases.empty()) return text;
    std::vector<PlayedCorpus> played(corpora_.size());
    for (std::size_t i = 0; i < corpora_.size(); ++i) {
      const AvailableTokens* available = available_of(i);
      played[i] = {!closed_[i], available != nullptr ? available->document_size : 0};
    }
    const double wanted = std::ceil(step / config_.sequence_length);
    const PlayedRows rows =
        play_rows(config_, corpora_, inputs_.phases[phase], phase, played, static_cast<std::uint64_t>(examples_),
                  static_cast<std::uint64_t>(std::min(wanted, kPlayedRows)));
    if (rows.rows == 0) return text;
    const double positions = static_cast<double>(rows.rows) * config_.sequence_length;
    const auto all = static_cast<double>(rows.all_raw_tokens());
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const double part = wanted <= kPlayedRows ? static_cast<double>(rows.raw_tokens[indices[i]]) : all * shares[i];
      text.raw_per_position[i] = part / positions;
    }
    text.examples_per_position = static_cast<double>(rows.examples) / positions;
    return text;
  }

  const StreamConfig& config_;
  const std::vector<RunCorpus>& corpora_;
  const PlanInputs& inputs_;
  std::vector<bool> closed_;
  double examples_ = 0;  ///< Of all phases so far.
  bool stopped_ = false;
  MixPlan plan_;
};

}  // namespace

MixPlan plan_mix(const StreamConfig& config, const std::vector<RunCorpus>& corpora, double horizon,
                 const PlanInputs& inputs) {
  return Simulation(config, corpora, inputs).run(horizon);
}

}  // namespace millrace
