#include "pipeline/config/stream_identity.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>

#include <fmt/format.h>
#include <xxhash.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/stream_keys.h"
#include "stages/errors.h"

namespace millrace {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

const std::string* find_fact(const StreamIdentity& facts, const std::string& name) {
  const auto found = std::ranges::find(facts, name, &StreamIdentity::value_type::first);
  return found == facts.end() ? nullptr : &found->second;
}

std::uint64_t number_in(const StreamIdentity& facts, const std::string& name, const std::string& where) {
  const std::string* text = find_fact(facts, name);
  std::uint64_t value = 0;
  if (text != nullptr) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error == std::errc() && end == text->data() + text->size()) return value;
  }
  throw ConfigError(fmt::format("{}: \"{}\" is missing or no number", where, name));
}

std::string fact_text(const KeyValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? *text : value_text(value);
}

void add_missing(std::vector<std::string>& out, const std::string& name, char sign, const std::string& text,
                 const std::string& other) {
  const std::vector<std::string> known = lines_of(other);
  for (const std::string& line : lines_of(text))
    if (std::ranges::find(known, line) == known.end()) out.push_back(fmt::format("{}: {} {}", name, sign, line));
}

}  // namespace

StreamIdentity identity_of(const StreamConfig& config) {
  StreamIdentity facts;
  const auto add = [&facts](std::string name, const auto& value) {
    facts.emplace_back(std::move(name), fmt::format("{}", value));
  };
  for (const KeyTable<StreamConfig>* table : {&run_keys(), &data_keys()})
    for (const auto& [name, value] : table->values(config, Alters::rows)) add(name, fact_text(value));
  for (std::size_t i = 0; i < config.phases.size(); ++i) {
    const Phase& phase = config.phases[i];
    const std::string name = fmt::format("phase {} ", i + 1);
    if (i + 1 < config.phases.size()) add(name + "until", phase.until);
    add(name + "mix", to_toml_of_rows(phase.mix));
    add(name + "objective", to_toml(phase.objective));
  }
  return facts;
}

StreamConfig phases_in(const StreamIdentity& facts, const std::string& where) {
  StreamConfig config;
  config.sequence_length = static_cast<int>(number_in(facts, "sequence_length", where));
  for (std::size_t number = 1;; ++number) {
    const std::string name = fmt::format("phase {} ", number);
    const std::string* mix = find_fact(facts, name + "mix");
    const std::string* objective = find_fact(facts, name + "objective");
    if (mix == nullptr || objective == nullptr) break;
    Phase& phase = config.phases.emplace_back();
    phase.mix = mix_from_toml(*mix, fmt::format("{}: {}mix", where, name));
    phase.objective = objective_from_toml(*objective, fmt::format("{}: {}objective", where, name));
    const bool is_last = find_fact(facts, name + "until") == nullptr;  // It has no end among the facts.
    phase.until = is_last ? std::numeric_limits<std::uint64_t>::max() : number_in(facts, name + "until", where);
  }
  if (config.phases.empty()) throw ConfigError(fmt::format("{}: tells of no phase", where));
  return config;
}

std::string hash_of(const StreamIdentity& facts) {
  std::string all;
  for (const auto& [name, text] : facts) all += fmt::format("{}\n{}\n{}", name, text.size(), text);
  return fmt::format("{:016x}", XXH3_64bits(all.data(), all.size()));
}

std::vector<std::string> differences_of(const StreamIdentity& there, const StreamIdentity& here) {
  static const std::string kNothing;
  const auto text_in = [](const StreamIdentity& facts, const std::string& name) -> const std::string& {
    const auto found = std::ranges::find(facts, name, &StreamIdentity::value_type::first);
    return found == facts.end() ? kNothing : found->second;
  };
  StreamIdentity all = there;
  for (const auto& fact : here)
    if (std::ranges::find(there, fact.first, &StreamIdentity::value_type::first) == there.end()) all.push_back(fact);
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
