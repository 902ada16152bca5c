#include "pipeline/export/export_manifest.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_value.h"
#include "stages/errors.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "millrace-preprocess";
constexpr int kVersion = 1;
constexpr const char* kSum = "xxh3_64";

std::string hash_of(const Json& json) {
  const std::string text = json.dump();
  ContentHash hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

}  // namespace

std::string to_json(const OutputManifest& manifest) {
  Json accounts = Json::array();
  for (const CorpusAccount& account : manifest.accounts) accounts.push_back(json_of(account));
  Json files = Json::object();
  for (const auto& [name, sums] : manifest.files) files[name] = json_of(sums);
  Json json{{"format", kFormat},
            {"version", kVersion},
            {"identity", Json::parse(to_json(manifest.identity))},
            {"id_type", manifest.id_type},
            {"sequence_length", manifest.length},
            {"rows", manifest.rows},
            {"stream_ended", manifest.stream_ended},
            {"end", manifest.end.empty() ? Json() : Json::parse(manifest.end)},
            {"accounts", accounts},
            {"files", files}};
  json[kSum] = hash_of(json);
  return json.dump(1) + "\n";
}

OutputManifest output_manifest_from_json(const JsonValue& json) {
  if (json.get<std::string>("format") != kFormat) json.at("format").fail(fmt::format("is not \"{}\"", kFormat));
  if (json.get<int>("version") != kVersion)
    json.at("version").fail(fmt::format("is {}, this program reads {}", json.get<int>("version"), kVersion));
  Json content = json.json();
  content.erase(kSum);
  if (json.get<std::string>(kSum) != hash_of(content)) json.at(kSum).fail("is not the checksum of the rest");
  OutputManifest manifest;
  manifest.identity = identity_from_json(json.at("identity"));
  manifest.id_type = json.get<std::string>("id_type");
  manifest.length = json.get<int>("sequence_length");
  manifest.rows = json.get<std::uint64_t>("rows");
  manifest.stream_ended = json.get<bool>("stream_ended");
  if (manifest.stream_ended && json.has("end")) manifest.end = json.at("end").text();
  for (const JsonValue& account : json.at("accounts").elements()) manifest.accounts.push_back(account_of(account));
  for (const auto& [name, sums] : json.at("files").members()) manifest.files[name] = sums_of(sums);
  return manifest;
}

OutputManifest read_output_manifest(const fs::path& folder) {
  const fs::path file = folder / kOutputManifest;
  if (!fs::exists(file))
    throw ConfigError(fmt::format("{}: has no {}: {}", folder.string(), kOutputManifest,
                                  StagedFolder::is_begun(folder)
                                      ? "it is not finished; run the command that began it again"
                                      : "not made by millrace preprocess"));
  try {
    return output_manifest_from_json(JsonValue::read(file, kDamagedManifest));
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

}  // namespace millrace
