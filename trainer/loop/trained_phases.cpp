#include "trainer/loop/trained_phases.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/json_text.h"
#include "pipeline/keys/key_rule.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

using Values = KeyTable<TrainConfig>::Values;

/// What `now` has otherwise than `before`.
Values changed(const PhaseTraining& before, const PhaseTraining& now) {
  Values values = model_keys().changes(before.model, now.model);
  for (auto& value : train_keys().front().changes(before.train, now.train)) values.push_back(std::move(value));
  return values;
}

}  // namespace

std::uint32_t phase_of_step(const Batch& batch) {
  return batch.front().examples.front().phase;
}

TrainedPhases::TrainedPhases(const TrainSetup& setup, std::uint64_t total_steps) : phases_(setup.phases) {
  for (const PhaseTraining& phase : phases_) rates_.emplace_back(phase.train, total_steps);
}

Json TrainedPhases::changed_keys(std::uint32_t before, std::uint32_t now) const {
  Json keys = Json::object();
  for (const auto& [name, value] : changed(at(before), at(now))) set_member(keys, name, value);
  return keys;
}

std::string TrainedPhases::changes(std::uint32_t before, std::uint32_t now) const {
  const Values then = changed(at(now), at(before));
  std::vector<std::string> texts;
  for (std::size_t i = 0; const auto& [name, value] : changed(at(before), at(now)))
    texts.push_back(fmt::format("{} {} (before {})", name, value_text(value), value_text(then[i++].second)));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace millrace
