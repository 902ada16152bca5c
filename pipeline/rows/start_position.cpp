#include "pipeline/rows/start_position.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/stream_keys.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

[[noreturn]] void refuse(const PositionSource& source, const std::string& why) {
  throw ConfigError(source.told(why + "; it belongs to another run, or is damaged"));
}

/// A corpus's shards may be unknown: then any number of lanes may be read.
void expect_place_in(const StreamConfig& config, const RunCorpus& corpus, const CorpusPosition& position,
                     std::uint32_t phase) {
  const auto denoisers_of = [&](std::uint32_t number) { return config.phases[number].objective.denoisers.size(); };
  if (position.phase_examples.size() != denoisers_of(phase))
    refuse(position.source, fmt::format("phase_examples is a list of {}, but the phase has {} denoisers",
                                        position.phase_examples.size(), denoisers_of(phase)));
  for (const WindowPlace& window : position.windows) {
    if (window.phase > phase)
      refuse(position.source, fmt::format("a window began in phase {}, but the position is in phase {}, counted from 0",
                                          window.phase, phase));
    if (window.examples.size() != denoisers_of(window.phase))
      refuse(position.source, fmt::format("a window tells of {} denoisers, but phase {}, counted from 0, has {}",
                                          window.examples.size(), window.phase, denoisers_of(window.phase)));
  }
  if (!corpus.shards.empty() && position.place.lanes.size() > corpus.shards.size())
    refuse(position.source, fmt::format("lanes is a list of {}, but corpus \"{}\" has {} shards",
                                        position.place.lanes.size(), position.corpus, corpus.shards.size()));
  const double epochs = std::ceil(corpus.corpus.max_epochs);
  if (epochs > 0 && static_cast<double>(position.place.epoch) >= epochs)
    refuse(position.source, fmt::format("epoch is {}, but corpus \"{}\" has {} epochs, counted from 0",
                                        position.place.epoch, position.corpus, epochs));
}

}  // namespace

StreamPosition start_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora) {
  StreamPosition start;
  for (const RunCorpus& corpus : corpora) {
    CorpusPosition& place = start.corpora.emplace_back();
    place.corpus = corpus.corpus.name;
    place.phase_examples.assign(config.phases.front().objective.denoisers.size(), 0);
  }
  return start;
}

std::vector<ConfigDifference> phase_differences(const Phase& then, const Phase& now, std::size_t phase) {
  std::vector<ConfigDifference> all =
      differences(to_toml(then.mix), to_toml(now.mix), fmt::format("phase.{}.mix", phase));
  for (ConfigDifference& one :
       differences(to_toml(then.objective), to_toml(now.objective), fmt::format("phase.{}.objective", phase)))
    all.push_back(std::move(one));
  return all;
}

bool is_only_a_name(const ConfigDifference& difference) {
  const std::string& key = difference.key;
  return key.ends_with(".mix.name") || key.ends_with(".objective.name") ||
         (key.find(".mix.corpus.") != std::string::npos && (key.ends_with(".kind") || key.ends_with(".license")));
}

bool is_only_a_path(const ConfigDifference& difference, const std::set<std::string>& same_shards) {
  return std::ranges::any_of(same_shards, [&](const std::string& corpus) {
    return difference.key.ends_with(".mix.corpus." + corpus + ".shards") ||
           difference.key.ends_with(".mix.corpus." + quoted(corpus) + ".shards");
  });
}

std::vector<std::string> incompatible_changes(const StreamConfig& then, const StreamConfig& now,
                                              const StreamPosition& position,
                                              const std::set<std::string>& same_shards) {
  std::vector<std::string> changes;
  if (position.row == 0) return changes;
  for (const KeyTable<StreamConfig>* table : {&run_keys(), &data_keys()})
    for (const ConfigDifference& one : table->differences(then, now, Alters::rows)) changes.push_back(one.text());
  const std::uint64_t behind = position.row * static_cast<std::uint64_t>(then.sequence_length);
  for (std::size_t p = 0; p <= position.phase && p < then.phases.size(); ++p) {
    if (p >= now.phases.size()) {
      changes.push_back(fmt::format("phase.{} is gone", p));
      break;
    }
    const Phase& old_phase = then.phases[p];
    const Phase& new_phase = now.phases[p];
    const std::string until = fmt::format("phase.{}.until", p);
    if (p < position.phase) {
      if (old_phase.until != new_phase.until)
        changes.push_back(fmt::format("{} {} -> {}", until, old_phase.until, new_phase.until));
    } else if (new_phase.until != old_phase.until && new_phase.until <= behind) {
      changes.push_back(
          fmt::format("{} {} -> {}: {} positions are behind already", until, old_phase.until, new_phase.until, behind));
    }
    for (const ConfigDifference& one : phase_differences(old_phase, new_phase, p))
      if (!is_only_a_name(one) && !is_only_a_path(one, same_shards)) changes.push_back(one.text());
  }
  return changes;
}

StreamPosition adapted_position(const StreamPosition& position, const StreamConfig& config,
                                const std::vector<RunCorpus>& corpora) {
  if (position.phase >= config.phases.size())
    refuse(position.source,
           fmt::format("phase is {}, but the run has {} phases, counted from 0", position.phase, config.phases.size()));
  const std::size_t denoisers = config.phases[position.phase].objective.denoisers.size();
  StreamPosition carried = position;
  carried.corpora.clear();
  for (const RunCorpus& corpus : corpora) {
    const auto known = std::ranges::find(position.corpora, corpus.corpus.name, &CorpusPosition::corpus);
    CorpusPosition& place = carried.corpora.emplace_back();
    if (known != position.corpora.end()) place = *known;
    place.corpus = corpus.corpus.name;
    if (known == position.corpora.end()) place.phase_examples.assign(denoisers, 0);
    expect_place_in(config, corpus, place, position.phase);
  }
  for (const CorpusPosition& place : position.corpora) {
    const bool kept = std::ranges::any_of(corpora, [&](const RunCorpus& c) { return c.corpus.name == place.corpus; });
    if (!kept && place.raw_tokens > 0)
      refuse(place.source, fmt::format("{} raw tokens of corpus \"{}\" were consumed, which the run has not",
                                       place.raw_tokens, place.corpus));
  }
  return carried;
}

}  // namespace millrace
