#include "pipeline/formats/export_identity.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {
namespace {

std::string text_of(const std::optional<std::uint64_t>& tokens) {
  return tokens ? fmt::format("{}", *tokens) : "none";
}

}  // namespace

void to_json(Json& json, const ExportIdentity& identity) {
  Json facts = Json::object();
  for (const auto& [name, text] : identity.facts) facts[name] = text;
  json = {{"format", identity.format},
          {"run", identity.run},
          {"run_hash", hash_of(identity.facts)},
          {"stream", facts},
          {"stream_version", identity.stream_version},
          {"vocabulary_hash", identity.vocabulary},
          {"tokenizer", identity.tokenizer},
          {"vocabulary_size", identity.vocabulary_size},
          {"eos", identity.eos},
          {"tokens", identity.tokens},
          {"part_bytes", identity.part_bytes},
          {"shards", to_jsonl(identity.shards)}};
}

void from_json(const JsonValue& json, ExportIdentity& identity) {
  identity.format = json.get<std::string>("format");
  identity.run = json.get<std::string>("run");
  for (const auto& [name, fact] : json.at("stream").members())
    identity.facts.emplace_back(name, fact.as<std::string>());
  identity.stream_version = json.get<int>("stream_version");
  identity.vocabulary = json.get<std::string>("vocabulary_hash");
  identity.tokenizer = json.get<std::string>("tokenizer");
  identity.vocabulary_size = json.get<std::uint64_t>("vocabulary_size");
  identity.eos = json.get<TokenId>("eos");
  identity.tokens = json.get_or_null<std::uint64_t>("tokens");
  identity.part_bytes = json.get<std::uint64_t>("part_bytes");
  identity.shards = fingerprints_from_jsonl(json.get<std::string>("shards"), json.place("shards"));
}

std::vector<std::string> differences_of(const ExportIdentity& there, const ExportIdentity& here) {
  std::vector<std::string> all;
  const auto compare = [&all](const char* what, const auto& then, const auto& now) {
    if (then != now) all.push_back(fmt::format("{}: {} there, {} here", what, then, now));
  };
  compare("--format", there.format, here.format);
  compare("run", there.run, here.run);
  compare("version of the stream", there.stream_version, here.stream_version);
  compare("vocabulary", there.tokenizer + ", hash " + there.vocabulary, here.tokenizer + ", hash " + here.vocabulary);
  compare("--tokens", text_of(there.tokens), text_of(here.tokens));
  compare("--part-bytes", there.part_bytes, here.part_bytes);
  std::ranges::move(differences_of(there.facts, here.facts), std::back_inserter(all));
  std::ranges::move(differences(there.shards, here.shards), std::back_inserter(all));
  return all;
}

}  // namespace millrace
