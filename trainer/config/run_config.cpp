#include "trainer/config/run_config.h"

#include <map>
#include <utility>

#include <fmt/format.h>

#include "pipeline/config/config_table.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/stream_keys.h"
#include "pipeline/config/toml_writer.h"
#include "stages/errors.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

std::vector<Phase> read_phases(const ConfigTable& run) {
  std::vector<Phase> phases;
  for (const ConfigTable& table : run.tables("phase")) {
    Phase phase;
    phase_keys().read(table, phase);
    if (phase.until <= (phases.empty() ? 0 : phases.back().until))
      table.fail("until", "is not beyond the phase before; it counts positions from the run's beginning");
    phase.mix = load_mix(table.path("mix"));
    phase.objective = load_objective(table.path("objective"));
    table.refuse_unknown_keys();
    phases.push_back(std::move(phase));
  }
  if (phases.empty()) run.fail("phase", "is missing: a run needs at least one [[phase]] with until, mix and objective");
  return phases;
}

template <class Config>
void add_table(const KeyTable<Config>& keys, const Config& config, TomlWriter& toml,
               const std::map<std::string, KeyValue>& told = {}) {
  if (keys.values(config, std::nullopt, told).empty()) return;
  toml.begin_table(keys.name());
  keys.write(config, toml, told);
}

/// The run as text that reads back to the same run from any folder that holds all of it.
std::vector<std::pair<std::string, std::string>> resolve(const RunConfig& run) {
  const StreamConfig& stream = run.stream;
  std::vector<std::pair<std::string, std::string>> files;
  TomlWriter toml;
  run_keys().write(stream, toml, {{"vocab", run.vocabulary.string()}});
  for (std::size_t i = 0; i < stream.phases.size(); ++i) {
    const Phase& phase = stream.phases[i];
    const std::string mix = fmt::format("mixes/phase-{}.toml", i + 1);
    const std::string objective = fmt::format("objectives/phase-{}.toml", i + 1);
    files.emplace_back(mix, to_toml(phase.mix));
    files.emplace_back(objective, to_toml(phase.objective));
    toml.begin_element(phase_keys().name());
    phase_keys().write(phase, toml, {{"mix", mix}, {"objective", objective}});
  }
  add_table(data_keys(), stream, toml);
  add_table(model_keys(), run.model, toml, {{"preset", std::string(kDefaultPreset)}});
  for (const KeyTable<TrainConfig>& keys : train_keys()) add_table(keys, run.train, toml);
  files.emplace_back("run.toml", toml.text());
  return files;
}

}  // namespace

RunConfig load_run(const RunSource& options) {
  RunConfig run;
  run.file = options.run;
  if (std::filesystem::is_directory(run.file)) run.file /= "run.toml";
  const ConfigTable table = ConfigTable::read(run.file, options.sets);
  StreamConfig& stream = run.stream;
  stream.name = run.file.stem().string();
  run_keys().read(table, stream);
  if (stream.name.empty() || stream.name == "." || stream.name == ".." ||
      stream.name.find_first_of(std::string("/\0", 2)) != std::string::npos)
    table.fail("name", fmt::format("is {}, which no folder can be called; the run's is called after it",
                                   millrace::quoted(stream.name)));
  run.vocabulary = table.path("vocab");
  stream.phases = read_phases(table);
  max_document_tokens_of(stream);  // One for all phases, or this throws.
  const ConfigTable data = table.table(data_keys().name());
  data_keys().read(data, stream);
  data.refuse_unknown_keys();
  if (!options.data.empty())
    stream.data_directory = std::filesystem::absolute(options.data).lexically_normal().string();
  run.model = read_model(table.table(model_keys().name()));
  if (run.model.max_position_embeddings < stream.sequence_length)
    run.model.max_position_embeddings = stream.sequence_length;
  run.train = read_training(table);
  table.refuse_unknown_keys();
  if (run.train.tokens == 0) run.train.tokens = stream.phases.back().until;
  if (run.train.tokens > stream.phases.back().until)
    throw ConfigError(fmt::format("{}: [train] tokens is {}, but the last phase ends at {}", run.file.string(),
                                  run.train.tokens, stream.phases.back().until));
  run.resolved = resolve(run);
  return run;
}

StreamConfig trained_stream(const RunConfig& run) {
  StreamConfig stream = run.stream;
  const std::uint64_t tokens = run.train.tokens;
  while (stream.phases.size() > 1 && stream.phases[stream.phases.size() - 2].until >= tokens) stream.phases.pop_back();
  stream.phases.back().until = tokens;
  return stream;
}

}  // namespace millrace
