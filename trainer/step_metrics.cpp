#include "trainer/step_metrics.h"

#include <cstddef>

#include <nlohmann/json.hpp>

namespace millrace {

LedgerCounts ledger_counts(const Ledger& ledger, const std::vector<std::string>& corpora,
                           const std::vector<std::vector<std::string>>& denoisers) {
  LedgerCounts counts;
  for (const auto& [key, entry] : ledger.entries()) {
    auto& [examples, raw_tokens, loss_tokens] =
        counts[corpora.at(key.corpus)][denoisers.at(key.phase).at(key.denoiser)];
    examples += entry.examples;
    raw_tokens += entry.raw_tokens;
    loss_tokens += entry.loss_tokens;
  }
  return counts;
}

std::string training_line(const StepMetrics& step) {
  nlohmann::ordered_json line{{"step", step.step},
                              {"tokens", step.positions},
                              {"raw_tokens", step.raw_tokens},
                              {"loss_tokens", step.loss_tokens},
                              {"loss", step.losses.total},
                              {"ce", step.losses.ce},
                              {"aux_loss", step.losses.aux_loss},
                              {"router_z_loss", step.losses.router_z_loss},
                              {"z_loss", step.losses.z_loss},
                              {"lr", step.learning_rate},
                              {"grad_norm", step.gradient_norm},
                              {"tokens_per_s", step.positions_per_second()},
                              {"step_s", step.seconds},
                              {"data_wait_s", step.data_wait}};
  if (step.profile) {
    for (std::size_t i = 0; i < kPartNames.size(); ++i) line["profile"][kPartNames[i]] = step.profile->seconds[i];
  }
  if (step.ledger) line["ledger"] = *step.ledger;
  return line.dump();
}

}  // namespace millrace
