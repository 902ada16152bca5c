#include "pipeline/export/export_manifest.h"

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/row_provenance.h"
#include "stages/errors.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "millrace-preprocess";
constexpr int kVersion = 1;
constexpr const char* kSum = "xxh3_64";

std::string hash_of(const Json& json) {
  const std::string text = json_line(json);
  ContentHash hash;
  hash.add(text.data(), text.size());
  return hash.hex();
}

}  // namespace

void to_json(Json& json, const ExportManifest& manifest) {
  json = {{"format", kFormat},
          {"version", kVersion},
          {"identity", manifest.identity},
          {"id_type", manifest.id_type},
          {"ids_as", manifest.ids_as},
          {"sequence_length", manifest.length},
          {"rows", manifest.rows},
          {"stream_ended", manifest.stream_ended},
          {"end", manifest.end ? provenance_json(*manifest.end) : Json()},
          {"accounts", manifest.accounts},
          {"files", manifest.files}};
  json[kSum] = hash_of(json);
}

void from_json(const JsonValue& json, ExportManifest& manifest) {
  if (json.get<std::string>("format") != kFormat) json.at("format").fail(fmt::format("is not \"{}\"", kFormat));
  if (json.get<int>("version") != kVersion)
    json.at("version").fail(fmt::format("is {}, this program reads {}", json.get<int>("version"), kVersion));
  Json content = json.json();
  content.erase(kSum);
  if (json.get<std::string>(kSum) != hash_of(content)) json.at(kSum).fail("is not the checksum of the rest");
  manifest.identity = json.get<ExportIdentity>("identity");
  manifest.id_type = json.get<std::string>("id_type");
  manifest.ids_as = json.get<std::string>("ids_as", "");
  manifest.length = json.get<int>("sequence_length");
  manifest.rows = json.get<std::uint64_t>("rows");
  manifest.stream_ended = json.get<bool>("stream_ended");
  if (manifest.stream_ended && json.has("end")) {
    manifest.end.emplace().number = manifest.rows;
    add_provenance(*manifest.end, json.at("end"));
  }
  manifest.accounts = json.get<std::vector<CorpusAccount>>("accounts");
  manifest.files = json.get<std::map<std::string, BlockChecksums>>("files");
}

ExportManifest read_output_manifest(const fs::path& folder) {
  const fs::path file = folder / kOutputManifest;
  if (!fs::exists(file))
    throw ConfigError(fmt::format("{}: has no {}: {}", folder.string(), kOutputManifest,
                                  StagedFolder::is_begun(folder)
                                      ? "it is not finished; run the command that began it again"
                                      : "not made by millrace preprocess"));
  try {
    return JsonValue::read(file, kDamagedManifest).as<ExportManifest>();
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

}  // namespace millrace
