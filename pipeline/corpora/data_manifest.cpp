#include "pipeline/corpora/data_manifest.h"

#include <algorithm>

#include <fmt/format.h>
#include <sys/stat.h>

#include "pipeline/corpora/loss_judge.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/seek_json.h"
#include "stages/errors.h"
#include "stages/listing/natural_order.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;

/// A path without "." and "..", and without a slash at its end.
fs::path plain_absolute(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

Json or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

std::string text_or_empty(const JsonValue& json, const char* key) {
  return json.get_or_null<std::string>(key).value_or("");
}

DataManifest manifest_from(const JsonValue& json, const fs::path& folder) {
  DataManifest manifest;
  manifest.root = plain_absolute(folder / json.get<std::string>("root"));
  manifest.vocabulary = text_or_empty(json, "vocabulary");
  manifest.layout = text_or_empty(json, "layout");
  manifest.text_field = text_or_empty(json, "text_field");
  manifest.holdout = json.get<double>("holdout", 0.0);
  manifest.complete = json.get<bool>("complete");
  manifest.shards = json.get<std::vector<ShardEntry>>("shards");
  return manifest;
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
           const std::optional<RejectCause> cause = cause_named(reject.first);
           return cause && says_unreadable(*cause, read_with);
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

void to_json(Json& json, const ShardEntry& entry) {
  json = {{"path", entry.path},
          {"bytes", entry.bytes},
          {"modified_ns", entry.modified},
          {"xxh3", or_null(entry.xxh3)},
          {"container", or_null(entry.container)},
          {"layout", entry.layout},
          {"records", entry.records},
          {"text_bytes", entry.text_bytes},
          {"rejects", entry.rejects},
          {"tokens", entry.tokens},
          {"content_bytes", entry.content},
          {"lost_records", entry.lost.records},
          {"lost_content", entry.lost.bytes},
          {"seek_points", entry.seek_points}};
  if (entry.held_out.documents > 0)
    json["held_out"] = {{"documents", entry.held_out.documents}, {"tokens", entry.held_out.tokens}};
}

void from_json(const JsonValue& json, ShardEntry& entry) {
  entry.path = json.get<std::string>("path");
  entry.bytes = json.get<std::uint64_t>("bytes");
  entry.modified = json.get<std::int64_t>("modified_ns");
  entry.xxh3 = text_or_empty(json, "xxh3");
  entry.container = text_or_empty(json, "container");
  entry.layout = json.get<std::string>("layout");
  entry.records = json.get<std::uint64_t>("records");
  entry.text_bytes = json.get<std::uint64_t>("text_bytes");
  entry.rejects = json.get<std::map<std::string, std::uint64_t>>("rejects");
  entry.content = json.get<std::uint64_t>("content_bytes", 0);
  entry.lost = {json.get<std::uint64_t>("lost_records", 0), json.get<std::uint64_t>("lost_content", 0)};
  entry.tokens = json.get_or_null<std::uint64_t>("tokens");
  if (json.has("held_out")) {
    const JsonValue held_out = json.at("held_out");
    entry.held_out = {held_out.get<std::uint64_t>("documents"), held_out.get<std::uint64_t>("tokens")};
  }
  entry.seek_points = json.get<std::vector<SeekPoint>>("seek_points");
}

/// File names may hold bytes that are no UTF-8: they become text that names no file, and such a shard is indexed anew
/// each time.
Json manifest_json(const DataManifest& manifest, const fs::path& folder) {
  Json json{{"version", kVersion},
            {"root", plain_absolute(manifest.root).lexically_relative(plain_absolute(folder)).string()},
            {"vocabulary", or_null(manifest.vocabulary)},
            {"layout", or_null(manifest.layout)},
            {"text_field", or_null(manifest.text_field)},
            {"complete", manifest.complete}};
  if (manifest.holdout > 0) json["holdout"] = manifest.holdout;
  json["shards"] = manifest.shards;
  return json;
}

DataManifest read_manifest(const fs::path& file) {
  const JsonValue json = JsonValue::read(file, "remove it and write it anew with millrace index");
  if (const int version = json.get<int>("version"); version != kVersion)
    json.at("version").fail(fmt::format("is {}, this program reads {}", version, kVersion));
  return manifest_from(json, plain_absolute(file).parent_path());
}

std::optional<DataManifest> manifest_of(const fs::path& data_directory) {
  const fs::path file = data_directory / kManifestName;
  if (!fs::exists(file)) return std::nullopt;
  return read_manifest(file);
}

const ShardEntry* find_entry(const DataManifest& manifest, const fs::path& shard) {
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
