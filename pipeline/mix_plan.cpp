#include "pipeline/mix_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "pipeline/quota.h"

namespace millrace {
namespace {

/// Enough to know how many examples a row holds on average; a multiple of every small number of them.
constexpr int kPackedExamples = 2520;

/// Plays from event to event: a phase's end, a corpus seen once, a corpus closed.
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
    const double raw_per_position = raw_tokens_per_position(phase, indices, shares);
    double step = until - plan_.positions;
    std::optional<std::size_t> runs_out;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const std::optional<double> left = left_of(indices[i]);
      if (shares[i] == 0 || !left || raw_per_position == 0) continue;
      const double lasts = std::max(0.0, *left) / (shares[i] * raw_per_position);
      if (lasts >= step) continue;
      step = lasts;
      runs_out = indices[i];
    }
    for (std::size_t i = 0; i < indices.size(); ++i) {
      CorpusPlan& taken = plan_.corpora[indices[i]];
      taken.positions += step * shares[i];
      if (taken.raw_tokens) *taken.raw_tokens += step * shares[i] * raw_per_position;
    }
    plan_.positions += step;
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

  /// Separators between documents are no raw tokens.
  double raw_tokens_per_position(std::size_t phase, const std::vector<std::size_t>& indices,
                                 const std::vector<double>& shares) const {
    if (inputs_.phases.empty()) return 0;
    const PhasePlan& plan = inputs_.phases[phase];
    double length = 0;
    for (std::size_t i = 0; i < plan.denoisers.size(); ++i)
      length += plan.denoisers[i].raw_length() * static_cast<double>(plan.denoiser_shares[i]) /
                static_cast<double>(kShareUnits);
    double separators = 0;  // Per raw token.
    for (std::size_t i = 0; plan.separator && i < indices.size(); ++i) {
      const AvailableTokens* available = available_of(indices[i]);
      if (available != nullptr && available->document_size > 0) separators += shares[i] / available->document_size;
    }
    return length / (1 + separators) * examples_per_row(phase) / config_.sequence_length;
  }

  /// Of a corpus whose denoisers take their turns: packed as the stream does.
  double examples_per_row(std::size_t phase) const {
    const PhasePlan& plan = inputs_.phases[phase];
    std::vector<Quota> denoisers;
    for (const ShareUnits share : plan.denoiser_shares) denoisers.push_back({share, 0, 1});
    int rows = 0;
    int room = 0;
    for (int example = 0; example < kPackedExamples; ++example) {
      const std::size_t chosen = choose_by_quota(denoisers, 1);
      ++denoisers[chosen].taken;
      const int length = plan.denoisers[chosen].longest_example();
      if (length > room) {
        room = config_.sequence_length;
        ++rows;
      }
      room -= length;
    }
    return static_cast<double>(kPackedExamples) / rows;
  }

  const StreamConfig& config_;
  const std::vector<RunCorpus>& corpora_;
  const PlanInputs& inputs_;
  std::vector<bool> closed_;
  bool stopped_ = false;
  MixPlan plan_;
};

}  // namespace

MixPlan plan_mix(const StreamConfig& config, const std::vector<RunCorpus>& corpora, double horizon,
                 const PlanInputs& inputs) {
  return Simulation(config, corpora, inputs).run(horizon);
}

}  // namespace millrace
