#include "pipeline/python/stream_state.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/config/stream_identity.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::size_t kLongestFact = 100;

std::string fact_in(const std::map<std::string, std::string>& facts, const std::string& name) {
  const auto found = facts.find(name);
  return found == facts.end() ? "" : found->second;
}

/// The number of the phase, from 1, that a fact is about, and what it says of it: "phase 2 until". 0: of no phase.
std::pair<std::uint64_t, std::string> phase_of(const std::string& fact) {
  constexpr std::string_view kPhase = "phase ";
  std::uint64_t number = 0;
  if (!fact.starts_with(kPhase)) return {0, fact};
  const auto [end, error] = std::from_chars(fact.data() + kPhase.size(), fact.data() + fact.size(), number);
  if (error != std::errc() || end == fact.data() + fact.size()) return {0, fact};
  return {number, std::string(end + 1)};
}

/// Whether a fact may be another one for a stream that goes on at `position`.
bool may_change(const std::string& name, const std::string& now, const StreamPosition& position, int sequence_length) {
  const auto [phase, what] = phase_of(name);
  const std::uint64_t current = position.phase + std::uint64_t{1};
  if (phase > current) return true;
  if (phase != current || what != "until") return false;
  std::uint64_t until = 0;
  std::from_chars(now.data(), now.data() + now.size(), until);
  return now.empty() || until > position.row * static_cast<std::uint64_t>(sequence_length);
}

std::string shown(const std::string& fact) {
  return fact.empty() ? "none" : fact;
}

}  // namespace

std::map<std::string, std::string> state_facts(const StreamConfig& config) {
  std::map<std::string, std::string> facts;
  for (const auto& [name, text] : identity_of(config)) {
    const bool is_short = text.size() <= kLongestFact && text.find('\n') == std::string::npos;
    facts[name] = is_short ? text : "hash " + hash_of({{name, text}});
  }
  return facts;
}

void to_json(Json& json, const StreamState& state) {
  json = {{"stream_version", state.stream_version},
          {"vocabulary", state.vocabulary},
          {"run", state.run},
          {"shards", state.shards},
          {"position", state.position},
          {"ledger", state.ledger}};
}

void from_json(const JsonValue& json, StreamState& state) {
  if (!json.has("position") && json.has("row")) {
    state.position = json.as<StreamPosition>();
    return;
  }
  state.stream_version = json.get<int>("stream_version");
  state.vocabulary = json.get<std::string>("vocabulary");
  if (state.stream_version != kStreamVersion) return;  // What follows may look another way: see expect_same_stream.
  if (json.has("run")) {
    for (const auto& [name, fact] : json.at("run").members()) state.run[name] = fact.as<std::string>();
    for (const auto& [name, hash] : json.at("shards").members()) state.shards[name] = hash.as<std::string>();
    if (state.run.empty()) json.at("run").fail("is empty, expected what the stream was made of");
  }
  state.position = json.get<StreamPosition>("position");
  state.ledger = json.get<Ledger>("ledger");
}

void expect_same_stream(const StreamState& state, const StreamState& here, int sequence_length) {
  if (state.stream_version != here.stream_version)
    throw ConfigError(
        fmt::format("start: of version {} of the stream, this program makes version {}: its rows would "
                    "be others",
                    state.stream_version, here.stream_version));
  std::vector<std::string> differences;
  if (!state.vocabulary.empty() && state.vocabulary != here.vocabulary)
    differences.push_back(fmt::format("vocabulary: hash {} there, {} here", state.vocabulary, here.vocabulary));
  std::map<std::string, std::string> all = state.run;
  if (!all.empty()) all.insert(here.run.begin(), here.run.end());
  for (const auto& [name, ignored] : all) {
    const std::string then = fact_in(state.run, name);
    const std::string now = fact_in(here.run, name);
    if (then != now && !may_change(name, now, state.position, sequence_length))
      differences.push_back(fmt::format("{}: {} there, {} here", name, shown(then), shown(now)));
  }
  for (const auto& [corpus, hash] : state.shards)
    if (here.shards.contains(corpus) && here.shards.at(corpus) != hash)
      differences.push_back(fmt::format("corpus \"{}\": its shards were changed, moved or added to since", corpus));
  if (!differences.empty())
    throw ConfigError(fmt::format("start: is of another stream:\n  {}\nRestore what it was made with, or begin anew",
                                  fmt::join(differences, "\n  ")));
}

}  // namespace millrace
