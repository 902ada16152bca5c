#include "pipeline/manifest.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "pipeline/loss_judge.h"
#include "pipeline/reject_json.h"
#include "pipeline/seek_json.h"
#include "stages/errors.h"
#include "stages/natural_order.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

/// A path without "." and "..", and without a slash at its end.
fs::path plain_absolute(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

Json or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

std::string text_or_empty(const Json& json) {
  return json.is_null() ? "" : json.get<std::string>();
}

Json json_of(const ShardEntry& entry) {
  Json rejects = Json::object();
  for (const auto& [cause, count] : entry.rejects) rejects[cause] = count;
  Json seek_points = Json::array();
  for (const SeekPoint& point : entry.seek_points) seek_points.push_back(json_of(point));
  Json json{{"path", entry.path},
            {"bytes", entry.bytes},
            {"modified_ns", entry.modified},
            {"xxh3", or_null(entry.xxh3)},
            {"container", or_null(entry.container)},
            {"layout", entry.layout},
            {"records", entry.records},
            {"text_bytes", entry.text_bytes},
            {"rejects", rejects},
            {"tokens", entry.tokens ? Json(*entry.tokens) : Json()},
            {"content_bytes", entry.content},
            {"lost_records", entry.lost.records},
            {"lost_content", entry.lost.bytes},
            {"seek_points", seek_points}};
  if (entry.held_out.documents > 0)
    json["held_out"] = {{"documents", entry.held_out.documents}, {"tokens", entry.held_out.tokens}};
  return json;
}

ShardEntry entry_of(const Json& json) {
  ShardEntry entry;
  entry.path = json.at("path");
  entry.bytes = json.at("bytes");
  entry.modified = json.at("modified_ns");
  entry.xxh3 = text_or_empty(json.at("xxh3"));
  entry.container = text_or_empty(json.at("container"));
  entry.layout = json.at("layout");
  entry.records = json.at("records");
  entry.text_bytes = json.at("text_bytes");
  for (const auto& [cause, count] : json.at("rejects").items()) entry.rejects[cause] = count;
  entry.content = json.value("content_bytes", std::uint64_t{0});
  entry.lost = {json.value("lost_records", std::uint64_t{0}), json.value("lost_content", std::uint64_t{0})};
  if (!json.at("tokens").is_null()) entry.tokens = json.at("tokens").get<std::uint64_t>();
  if (const auto held_out = json.find("held_out"); held_out != json.end())
    entry.held_out = {held_out->at("documents"), held_out->at("tokens")};
  for (const Json& point : json.at("seek_points")) entry.seek_points.push_back(seek_point_of(point));
  return entry;
}

Manifest manifest_from(const Json& json, const fs::path& folder) {
  Manifest manifest;
  manifest.root = plain_absolute(folder / json.at("root").get<std::string>());
  manifest.vocabulary = text_or_empty(json.at("vocabulary"));
  manifest.layout = text_or_empty(json.at("layout"));
  manifest.text_field = text_or_empty(json.at("text_field"));
  manifest.holdout = json.value("holdout", 0.0);
  manifest.complete = json.at("complete");
  for (const Json& shard : json.at("shards")) manifest.shards.push_back(entry_of(shard));
  return manifest;
}

/// File names may hold bytes that are no UTF-8: they are replaced, and such a shard is indexed anew each time.
std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::uint64_t ShardEntry::rejected() const {
  std::uint64_t sum = 0;
  for (const auto& [cause, count] : rejects) sum += count;
  return sum;
}

bool ShardEntry::is_lost() const {
  RecordLayout read_with;
  read_with.name = layout;
  return records == 0 && !rejects.empty() && std::ranges::all_of(rejects, [&](const auto& reject) {
           return says_unreadable(cause_named(reject.first), read_with);
         });
}

std::optional<FileState> state_of(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return std::nullopt;
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return FileState{static_cast<std::uint64_t>(info.st_size),
                   static_cast<std::int64_t>(info.st_mtim.tv_sec) * kNanoseconds + info.st_mtim.tv_nsec};
}

fs::path rejects_beside(const fs::path& manifest) {
  fs::path file = manifest;
  if (file.extension() == ".json") file.replace_extension();
  return file += ".rejects.jsonl";
}

std::string to_json(const Manifest& manifest, const fs::path& folder) {
  Json head{{"version", kVersion},
            {"root", plain_absolute(manifest.root).lexically_relative(plain_absolute(folder)).string()},
            {"vocabulary", or_null(manifest.vocabulary)},
            {"layout", or_null(manifest.layout)},
            {"text_field", or_null(manifest.text_field)},
            {"complete", manifest.complete}};
  if (manifest.holdout > 0) head["holdout"] = manifest.holdout;
  std::string text = line_of(head);
  text.pop_back();
  text += ",\"shards\":[";
  for (std::size_t i = 0; i < manifest.shards.size(); ++i)
    text += (i == 0 ? "\n" : ",\n") + line_of(json_of(manifest.shards[i]));
  return text + "\n]}\n";
}

Manifest read_manifest(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw ConfigError(fmt::format("{}: cannot read it", file.string()));
  try {
    const Json json = Json::parse(text);
    if (json.at("version") != kVersion)
      throw ConfigError(
          fmt::format("{}: a manifest of version {}, this program reads version {}: write it anew with "
                      "millrace index",
                      file.string(), json.at("version").dump(), kVersion));
    return manifest_from(json, plain_absolute(file).parent_path());
  } catch (const Json::exception& error) {
    throw ConfigError(fmt::format("{}: not a manifest of shards: {}", file.string(), error.what()));
  }
}

std::optional<Manifest> manifest_of(const fs::path& data_directory) {
  const fs::path file = data_directory / kManifestName;
  if (!fs::exists(file)) return std::nullopt;
  return read_manifest(file);
}

const ShardEntry* find_entry(const Manifest& manifest, const fs::path& shard) {
  const fs::path whole = plain_absolute(shard);
  const fs::path below = whole.lexically_relative(plain_absolute(manifest.root));
  const std::string path = *below.begin() == ".." ? whole.string() : below.string();
  const auto before = [](const ShardEntry& entry, const std::string& wanted) {
    return natural_less(entry.path, wanted);
  };
  const auto found = std::lower_bound(manifest.shards.begin(), manifest.shards.end(), path, before);
  return found != manifest.shards.end() && found->path == path ? &*found : nullptr;
}

bool is_current(const ShardEntry& entry, const fs::path& shard) {
  return entry.is_readable() && state_of(shard) == FileState{entry.bytes, entry.modified};
}

}  // namespace millrace
