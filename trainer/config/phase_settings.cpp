#include "trainer/config/phase_settings.h"

#include <string>

#include <fmt/format.h>

#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

constexpr const char* kRsqrt = "rsqrt";

void write(const std::string& table, const KeyTable<TrainConfig>::Values& values, TomlWriter& run) {
  if (values.empty()) return;
  run.begin_table("phase." + table);
  for (const auto& [name, value] : values) add_line(run, name, value);
}

}  // namespace

PhaseSettings read_phase_settings(const ConfigTable& phase, ModelConfig model, TrainConfig train) {
  const KeyTable<TrainConfig>& keys = train_keys().front();
  const ConfigTable table = phase.table(keys.name());
  const bool was_rsqrt = train.schedule == kRsqrt;
  PhaseSettings settings{model_keys().read_by_phase(phase.table(model_keys().name()), model),
                         keys.read_by_phase(table, train)};
  if ((train.schedule == kRsqrt) != was_rsqrt && !table.has("learning_rate"))
    table.fail(
        "learning_rate",
        fmt::format("is missing: \"rsqrt\" divides it by a root of the steps, other schedules do not, so a phase "
                    "that goes to \"{}\" names its own",
                    train.schedule));
  return settings;
}

void write_phase_settings(const PhaseSettings& settings, TomlWriter& run) {
  write(model_keys().name(), settings.model, run);
  write(train_keys().front().name(), settings.train, run);
}

}  // namespace millrace
