#include "pipeline/mix/prepared_phase.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

std::vector<PreparedPhase> prepare_phases(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                          const Vocabulary& vocabulary) {
  const SpecialIds ids = special_ids_of(vocabulary);
  std::vector<PreparedPhase> plans;
  for (const Phase& phase : config.phases) {
    PreparedPhase plan;
    const bool full = phase.objective.layout == RowLayout::full;
    const FeatureLengths& lengths = phase.objective.lengths;
    if (!full && lengths.inputs + lengths.targets > config.sequence_length)
      throw ConfigError(
          fmt::format("objective \"{}\": inputs of {} and targets of {} do not fit a sequence_length of {}",
                      phase.objective.name, lengths.inputs, lengths.targets, config.sequence_length));
    for (const Denoiser& denoiser : phase.objective.denoisers) {
      std::vector<TokenId> prompt = vocabulary.encode(denoiser.prompt);
      plan.denoisers.push_back(full ? SegmentToExample(denoiser, std::move(prompt), ids, config.sequence_length)
                                    : SegmentToExample(denoiser, std::move(prompt), ids, lengths));
      const int shortest = plan.denoisers.back().shortest_example();
      plan.shortest_example = plan.shortest_example == 0 ? shortest : std::min(plan.shortest_example, shortest);
      plan.denoiser_shares.push_back(
          static_cast<ShareUnits>(std::llround(denoiser.share * static_cast<double>(kShareUnits))));
      plan.longest =
          std::max<std::uint64_t>(plan.longest, static_cast<std::uint64_t>(plan.denoisers.back().raw_length()));
    }
    plan.corpora = indices_in(corpora, phase.mix);
    for (const Corpus& corpus : phase.mix.corpora) plan.corpus_shares.push_back(corpus.share);
    if (phase.objective.separator == Separator::eos) plan.separator = ids.eos;
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace millrace
