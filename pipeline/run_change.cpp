#include "pipeline/run_change.h"

#include <algorithm>

#include <fmt/format.h>

#include "pipeline/mix_file.h"
#include "pipeline/objective_file.h"
#include "stages/errors.h"

namespace millrace {
namespace {

template <class Value>
void compare(std::vector<std::string>& changes, const char* what, const Value& then, const Value& now) {
  if (then != now) changes.push_back(fmt::format("{}: {} then, {} now", what, then, now));
}

const char* name_of(Sampling sampling) {
  return sampling == Sampling::random ? "random" : "quota";
}

}  // namespace

std::vector<std::string> changes_of_the_past(const StreamConfig& then, const StreamConfig& now,
                                             const Position& position) {
  std::vector<std::string> changes;
  if (position.row == 0) return changes;
  compare(changes, "seed", then.seed, now.seed);
  compare(changes, "sequence_length", then.sequence_length, now.sequence_length);
  compare(changes, "holdout", then.holdout, now.holdout);
  compare(changes, "shuffle_block", then.shuffle_block, now.shuffle_block);
  compare(changes, "shuffle_bytes", then.shuffle_bytes, now.shuffle_bytes);
  compare(changes, "sampling", name_of(then.sampling), name_of(now.sampling));
  compare(changes, "max_record_bytes", then.max_record_bytes, now.max_record_bytes);
  const std::uint64_t behind = position.row * static_cast<std::uint64_t>(then.sequence_length);
  for (std::size_t p = 0; p <= position.phase && p < then.phases.size(); ++p) {
    const std::string phase = fmt::format("phase {}", p + 1);
    if (p >= now.phases.size()) {
      changes.push_back(phase + ": is gone");
      break;
    }
    const Phase& old_phase = then.phases[p];
    const Phase& new_phase = now.phases[p];
    if (p < position.phase) {
      compare(changes, (phase + ": until").c_str(), old_phase.until, new_phase.until);
    } else if (new_phase.until != old_phase.until && new_phase.until <= behind) {
      changes.push_back(
          fmt::format("{}: until: {} now, but {} positions are behind already", phase, new_phase.until, behind));
    }
    if (to_toml(old_phase.mix) != to_toml(new_phase.mix)) changes.push_back(phase + ": another mix");
    if (to_toml(old_phase.objective) != to_toml(new_phase.objective)) changes.push_back(phase + ": another objective");
  }
  return changes;
}

Position carried_over(const Position& position, const StreamConfig& config, const std::vector<RunCorpus>& corpora) {
  const auto refuse = [](const std::string& why) {
    throw ConfigError("the position to start from belongs to another run: " + why);
  };
  if (position.phase >= config.phases.size())
    refuse(fmt::format("it stands in phase {} of {}", position.phase + 1, config.phases.size()));
  const std::size_t denoisers = config.phases[position.phase].objective.denoisers.size();
  Position carried = position;
  carried.corpora.clear();
  for (const RunCorpus& corpus : corpora) {
    const auto known = std::ranges::find(position.corpora, corpus.corpus.name, &CorpusPosition::corpus);
    CorpusPosition& place = carried.corpora.emplace_back();
    if (known != position.corpora.end()) place = *known;
    place.corpus = corpus.corpus.name;
    if (known == position.corpora.end()) place.phase_examples.assign(denoisers, 0);
    if (place.phase_examples.size() != denoisers)
      refuse(fmt::format("its phase has {} denoisers, that of the run {}", place.phase_examples.size(), denoisers));
  }
  for (const CorpusPosition& place : position.corpora) {
    const bool kept = std::ranges::any_of(corpora, [&](const RunCorpus& c) { return c.corpus.name == place.corpus; });
    if (!kept && place.raw_tokens > 0)
      refuse(fmt::format("{} raw tokens of corpus \"{}\" were eaten, which the run has not", place.raw_tokens,
                         place.corpus));
  }
  return carried;
}

}  // namespace millrace
