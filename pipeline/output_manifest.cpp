#include "pipeline/output_manifest.h"

#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

OutputManifest output_manifest_from_json(const std::string& text, const std::string& where) {
  try {
    Json json = Json::parse(text);
    if (json.at("format") != kFormat || json.at("version") != kVersion)
      throw ConfigError(fmt::format("{}: expected \"{}\" version {}", where, kFormat, kVersion));
    const std::string sum = json.at(kSum);
    json.erase(kSum);
    if (sum != hash_of(json)) throw DataError(fmt::format("{}: damaged: its checksum is not its content's", where));
    OutputManifest manifest;
    manifest.identity = identity_from_json(json.at("identity").dump(), where);
    manifest.id_type = json.at("id_type");
    manifest.length = json.at("sequence_length");
    manifest.rows = json.at("rows");
    manifest.stream_ended = json.at("stream_ended");
    if (manifest.stream_ended && json.contains("end")) manifest.end = json.at("end").dump();
    for (const Json& account : json.at("accounts")) manifest.accounts.push_back(account_of(account));
    for (const auto& [name, sums] : json.at("files").items()) manifest.files[name] = sums_of(sums);
    return manifest;
  } catch (const Json::exception& error) {
    throw DataError(fmt::format("{}: damaged: {}", where, error.what()));
  }
}

OutputManifest read_output_manifest(const fs::path& folder) {
  const fs::path file = folder / kOutputManifest;
  if (!fs::exists(file))
    throw ConfigError(fmt::format("{}: has no {}: {}", folder.string(), kOutputManifest,
                                  StagedFolder::is_begun(folder)
                                      ? "it is not finished; run the command that began it again"
                                      : "not made by millrace preprocess"));
  std::ifstream stream(file, std::ios::binary);
  return output_manifest_from_json({std::istreambuf_iterator<char>(stream), {}}, file.string());
}

}  // namespace millrace
