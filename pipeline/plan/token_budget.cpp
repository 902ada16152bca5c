#include "pipeline/plan/token_budget.h"

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

std::vector<std::uint64_t> token_budgets(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                         std::uint64_t tokens) {
  __extension__ using Wide = unsigned __int128;
  std::vector<Wide> weights(corpora.size(), 0);
  std::uint64_t from = 0;
  for (const Phase& phase : config.phases) {
    const std::vector<std::size_t> indices = indices_in(corpora, phase.mix);
    for (std::size_t i = 0; i < indices.size(); ++i)
      weights[indices[i]] += static_cast<Wide>(phase.mix.corpora[i].share) * (phase.until - from);
    from = phase.until;
  }
  const Wide whole = static_cast<Wide>(kShareUnits) * config.phases.back().until;
  std::vector<std::uint64_t> budgets;
  for (const Wide weight : weights) {
    Wide product = 0;
    if (__builtin_mul_overflow(weight, static_cast<Wide>(tokens), &product))
      throw ConfigError(fmt::format("--tokens {}: too many to be shared out exactly", tokens));
    budgets.push_back(static_cast<std::uint64_t>(product / whole));
  }
  return budgets;
}

}  // namespace millrace
