#include "model/cost/activated_parameters.h"

#include <algorithm>

#include "model/parameters/parameter_spec.h"

namespace millrace {

ParameterCounts parameter_counts(const ModelConfig& config) {
  const int choices = std::min(config.router_topk, config.num_experts);
  ParameterCounts counts;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (spec.layer == ParameterSpec::kEmbedding) continue;
    if (spec.name == "lm_head.weight") {
      counts.head = spec.size();
      continue;
    }
    counts.layers += spec.size();
    counts.activated_layers += spec.per_expert ? spec.size() / config.num_experts * choices : spec.size();
  }
  return counts;
}

double training_operations(std::int64_t parameters, double positions) {
  return 6 * static_cast<double>(parameters) * positions;
}

}  // namespace millrace
