#include "pipeline/stream_facts.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>
#include <xxhash.h>

#include "pipeline/mix_file.h"
#include "pipeline/objective_file.h"

namespace millrace {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void add_missing(std::vector<std::string>& out, const std::string& name, char sign, const std::string& text,
                 const std::string& other) {
  const std::vector<std::string> known = lines_of(other);
  for (const std::string& line : lines_of(text))
    if (std::ranges::find(known, line) == known.end()) out.push_back(fmt::format("{}: {} {}", name, sign, line));
}

}  // namespace

StreamFacts facts_of(const StreamConfig& config) {
  StreamFacts facts;
  const auto add = [&facts](std::string name, const auto& value) {
    facts.emplace_back(std::move(name), fmt::format("{}", value));
  };
  add("seed", config.seed);
  add("sequence_length", config.sequence_length);
  add("holdout", config.holdout);
  add("shuffle_block", config.shuffle_block);
  add("shuffle_bytes", config.shuffle_bytes);
  add("sampling", config.sampling == Sampling::random ? "random" : "quota");
  add("max_record_bytes", config.max_record_bytes);
  for (std::size_t i = 0; i < config.phases.size(); ++i) {
    const Phase& phase = config.phases[i];
    const std::string name = fmt::format("phase {} ", i + 1);
    if (i + 1 < config.phases.size()) add(name + "until", phase.until);
    add(name + "mix", to_toml(phase.mix));
    add(name + "objective", to_toml(phase.objective));
  }
  return facts;
}

std::string hash_of_facts(const StreamFacts& facts) {
  std::string all;
  for (const auto& [name, text] : facts) all += fmt::format("{}\n{}\n{}", name, text.size(), text);
  return fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
}

std::vector<std::string> differences_of(const StreamFacts& there, const StreamFacts& here) {
  static const std::string kNothing;
  const auto text_in = [](const StreamFacts& facts, const std::string& name) -> const std::string& {
    const auto found = std::ranges::find(facts, name, &StreamFacts::value_type::first);
    return found == facts.end() ? kNothing : found->second;
  };
  StreamFacts all = there;
  for (const auto& fact : here)
    if (std::ranges::find(there, fact.first, &StreamFacts::value_type::first) == there.end()) all.push_back(fact);
  std::vector<std::string> differences;
  for (const auto& [name, ignored] : all) {
    const std::string& then = text_in(there, name);
    const std::string& now = text_in(here, name);
    if (then == now) continue;
    const std::size_t before = differences.size();
    if (lines_of(then).size() > 1 || lines_of(now).size() > 1) {
      add_missing(differences, name, '-', then, now);
      add_missing(differences, name, '+', now, then);
    }
    if (differences.size() > before) continue;
    if (lines_of(then).size() > 1) {
      differences.push_back(name + ": the same lines in another order");
    } else {
      differences.push_back(
          fmt::format("{}: {} there, {} here", name, then.empty() ? "none" : then, now.empty() ? "none" : now));
    }
  }
  return differences;
}

}  // namespace millrace
