#include "pipeline/config/stream_file.h"

#include <fmt/format.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/stream_keys.h"
#include "pipeline/keys/toml_writer.h"

namespace millrace {
namespace {

std::vector<Phase> read_phases(const ConfigTable& run) {
  std::vector<Phase> phases;
  for (const ConfigTable& table : run.tables("phase")) {
    Phase phase;
    phase_keys().read(table, phase);
    if (phase.until <= (phases.empty() ? 0 : phases.back().until))
      table.fail("until", "is not beyond the phase before; it counts positions from the run's beginning");
    phase.mix = read_mix(table.file_at("mix"));
    phase.objective = read_objective(table.file_at("objective"));
    for (const auto& key : phase_keys().keys()) static_cast<void>(table.has(key.rule.name));  // Others read some.
    table.refuse_unknown_keys();
    phases.push_back(std::move(phase));
  }
  if (phases.empty()) run.fail("phase", "is missing: a run needs at least one [[phase]] with until, mix and objective");
  return phases;
}

bool can_be_a_folder(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

}  // namespace

StreamConfig read_stream(const ConfigTable& run) {
  StreamConfig stream;
  stream.name = run.file().stem().string();
  run_keys().read(run, stream);
  if (!can_be_a_folder(stream.name))
    run.fail("name", fmt::format("is {}, which no folder can be called; the run's is called after it",
                                 millrace::quoted(stream.name)));
  stream.phases = read_phases(run);
  max_document_tokens_of(stream);  // One for all phases, or this throws.
  const ConfigTable data = run.table(data_keys().name());
  data_keys().read(data, stream);
  data.refuse_unknown_keys();
  return stream;
}

std::vector<std::pair<std::string, std::string>> write_stream(const StreamConfig& stream,
                                                              const std::filesystem::path& vocabulary, TomlWriter& run,
                                                              const std::function<void(std::size_t)>& write_rest) {
  std::vector<std::pair<std::string, std::string>> files;
  run_keys().write(stream, run, {{"vocab", vocabulary.string()}});
  for (std::size_t i = 0; i < stream.phases.size(); ++i) {
    const Phase& phase = stream.phases[i];
    const std::string mix = fmt::format("mixes/phase-{}.toml", i + 1);
    const std::string objective = fmt::format("objectives/phase-{}.toml", i + 1);
    files.emplace_back(mix, to_toml(phase.mix));
    files.emplace_back(objective, to_toml(phase.objective));
    run.begin_element(phase_keys().name());
    phase_keys().write(phase, run, {{"mix", mix}, {"objective", objective}});
    write_rest(i);
  }
  data_keys().write_table(stream, run);
  return files;
}

}  // namespace millrace
