#include "pipeline/config/stream_config.h"

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

std::uint64_t max_document_tokens_of(const StreamConfig& config) {
  const Objective& first = config.phases.front().objective;
  for (const Phase& phase : config.phases) {
    if (phase.objective.max_document_tokens != first.max_document_tokens)
      throw ConfigError(fmt::format(
          "objectives \"{}\" and \"{}\": max_document_tokens is {} and {}; a run has one for all its phases, since a "
          "document may begin in one and end in the next",
          first.name, phase.objective.name, first.max_document_tokens, phase.objective.max_document_tokens));
  }
  return first.max_document_tokens;
}

StreamConfig stream_up_to(StreamConfig config, std::uint64_t positions) {
  std::vector<Phase>& phases = config.phases;
  while (phases.size() > 1 && phases[phases.size() - 2].until >= positions) phases.pop_back();
  phases.back().until = positions;
  return config;
}

}  // namespace millrace
