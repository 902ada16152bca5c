#include "pipeline/corpora/shard_fingerprint.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include "pipeline/corpora/data_manifest.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/content_hash.h"
#include "stages/errors.h"
#include "stages/io/disk.h"
#include "stages/io/input_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSampleOfAll = 1ull << 30;
constexpr std::uint64_t kLeastSample = 128ull << 10;
constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kPiece = 1ull << 20;  // What is read at a time.

using Name = std::pair<std::string, std::string>;

Name name_of(const ShardFingerprint& fingerprint) {
  return {fingerprint.corpus, fingerprint.shard};
}

std::map<Name, const ShardFingerprint*> by_name(const std::vector<ShardFingerprint>& fingerprints) {
  std::map<Name, const ShardFingerprint*> named;
  for (const ShardFingerprint& fingerprint : fingerprints) named[name_of(fingerprint)] = &fingerprint;
  return named;
}

std::set<std::string> corpora_in(const std::vector<ShardFingerprint>& fingerprints) {
  std::set<std::string> names;
  for (const ShardFingerprint& fingerprint : fingerprints) names.insert(fingerprint.corpus);
  return names;
}

/// Hashes parts of one file.
class SampleHash {
 public:
  explicit SampleHash(const fs::path& path) : path_(path), file_(path.string()) {
    const std::uint64_t size = file_.size();
    hash_.add(&size, sizeof size);
  }
  std::uint64_t file_size() const { return file_.size(); }
  std::string hex() const { return hash_.hex(); }

  void add(std::uint64_t from, std::uint64_t to) {
    while (from < to) {
      piece_.resize(static_cast<std::size_t>(std::min(to - from, kPiece)));
      if (file_.read_at(from, piece_.data(), piece_.size()) < piece_.size())
        throw std::system_error(std::make_error_code(std::errc::io_error), path_.string() + ": it shrank meanwhile");
      hash_.add(piece_.data(), piece_.size());
      from += piece_.size();
    }
  }

 private:
  fs::path path_;
  InputFile file_;
  ContentHash hash_;
  std::vector<char> piece_;
};

std::string line(const ShardFingerprint& shard, const std::string& what) {
  return fmt::format("corpus \"{}\": {}: {}", shard.corpus, shard.shard, what);
}

/// How a shard differs from what was recorded of it; empty if it does not.
std::string change(const ShardFingerprint& then, const ShardFingerprint& now) {
  if (then.bytes != now.bytes) return fmt::format("changed: {} bytes then, {} now", then.bytes, now.bytes);
  const bool same_xxh3 = then.xxh3.empty() || now.xxh3.empty() || then.xxh3 == now.xxh3;
  return then.hash == now.hash && same_xxh3 ? ""
                                            : fmt::format("changed: {} bytes as then, but not the same", now.bytes);
}

/// xxh3_64 of all bytes.
std::string hash_of_file(const fs::path& path) {
  InputFile file(path.string());
  ContentHash hash;
  for (InputFile::View view = file.peek(); view.size > 0; view = file.peek()) {
    hash.add(view.data, view.size);
    file.consume(view.size);
  }
  return hash.hex();
}

}  // namespace

std::uint64_t sample_size(std::size_t shards) {
  constexpr std::uint64_t kUnit = 4 * kBlock;  // So that a quarter is whole blocks.
  return std::max(kLeastSample, kSampleOfAll / std::max<std::uint64_t>(shards, 1) / kUnit * kUnit);
}

ShardFingerprint fingerprint_of(const fs::path& file, std::uint64_t sample) {
  SampleHash hash(file);
  const std::uint64_t size = hash.file_size();
  ShardFingerprint fingerprint;
  fingerprint.bytes = size;
  fingerprint.sampled_bytes = std::min(sample, size);
  if (size <= sample) {
    hash.add(0, size);
  } else {
    const std::uint64_t quarter = sample / 4;
    const std::uint64_t blocks = (sample - 2 * quarter) / kBlock;
    const std::uint64_t between = size - 2 * quarter - kBlock;  // From the first block's beginning to the last one's.
    const std::uint64_t steps = std::max<std::uint64_t>(blocks, 2) - 1;
    hash.add(0, quarter);
    for (std::uint64_t block = 0; block < blocks; ++block) {
      const std::uint64_t offset = between / steps * block + between % steps * block / steps;
      hash.add(quarter + offset, quarter + offset + kBlock);
    }
    hash.add(size - quarter, size);
  }
  fingerprint.hash = hash.hex();
  return fingerprint;
}

std::vector<ShardFingerprint> fingerprints_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                              const std::vector<ShardFingerprint>& recorded) {
  std::vector<ShardFingerprint> all;
  for (const RunCorpus& corpus : corpora)
    for (const std::string& shard : corpus.shards) all.push_back({corpus.corpus.name, shard, 0, 0, "", ""});
  const std::uint64_t sample = sample_size(all.size());
  const std::map<Name, const ShardFingerprint*> known = by_name(recorded);
  const std::optional<DataManifest> manifest =
      config.data_directory.empty() ? std::nullopt : manifest_of(config.data_directory);
  oneapi::tbb::parallel_for(std::size_t{0}, all.size(), [&](std::size_t i) {
    ShardFingerprint& shard = all[i];
    const fs::path file = shard_path(config, shard.shard);
    const auto before = known.find(name_of(shard));
    try {
      ShardFingerprint read = fingerprint_of(file, before == known.end() ? sample : before->second->sampled_bytes);
      read.corpus = shard.corpus;
      read.shard = shard.shard;
      const ShardEntry* entry = manifest ? find_entry(*manifest, file) : nullptr;
      if (entry != nullptr && is_current(*entry, file)) {
        read.xxh3 = entry->xxh3;
      } else if (before != known.end() && !before->second->xxh3.empty()) {
        read.xxh3 = hash_of_file(file);
      }
      shard = std::move(read);
    } catch (const std::system_error& error) {
      if (!is_wrong_path(error.code())) throw;
      throw ConfigError(fmt::format("corpus \"{}\": cannot read the shard {}", shard.corpus, error.what()));
    }
  });
  return all;
}

std::vector<std::string> differences(const std::vector<ShardFingerprint>& recorded,
                                     const std::vector<ShardFingerprint>& now) {
  std::vector<std::string> found;
  const std::map<Name, const ShardFingerprint*> named_now = by_name(now);
  const std::set<std::string> corpora_now = corpora_in(now);
  for (const ShardFingerprint& then : recorded) {
    if (!corpora_now.contains(then.corpus)) continue;
    const auto same_name = named_now.find(name_of(then));
    const std::string what = same_name == named_now.end() ? "missing" : change(then, *same_name->second);
    if (!what.empty()) found.push_back(line(then, what));
  }
  const std::map<Name, const ShardFingerprint*> named_then = by_name(recorded);
  const std::set<std::string> corpora_then = corpora_in(recorded);
  for (const ShardFingerprint& shard : now)
    if (corpora_then.contains(shard.corpus) && !named_then.contains(name_of(shard)))
      found.push_back(line(shard, "extra: it was not there then"));
  return found;
}

std::vector<std::string> vanished(const std::vector<ShardFingerprint>& recorded, const StreamConfig& config) {
  std::set<std::string> in_use;
  for (const RunCorpus& corpus : corpora_of(config, FindShards::no)) in_use.insert(corpus.corpus.name);
  std::vector<std::string> found;
  for (const ShardFingerprint& shard : recorded)
    if (in_use.contains(shard.corpus) && !state_of(shard_path(config, shard.shard)))
      found.push_back(line(shard, "missing"));
  return found;
}

std::vector<ShardFingerprint> with_new_corpora(std::vector<ShardFingerprint> recorded,
                                               const std::vector<ShardFingerprint>& now) {
  const std::set<std::string> known = corpora_in(recorded);
  for (const ShardFingerprint& shard : now)
    if (!known.contains(shard.corpus)) recorded.push_back(shard);
  return recorded;
}

void to_json(Json& json, const ShardFingerprint& shard) {
  json = {{"corpus", shard.corpus}, {"shard", shard.shard},
          {"bytes", shard.bytes},   {"sampled_bytes", shard.sampled_bytes},
          {"hash", shard.hash},     {"xxh3", shard.xxh3.empty() ? Json() : Json(shard.xxh3)}};
}

void from_json(const JsonValue& json, ShardFingerprint& shard) {
  shard = {json.get<std::string>("corpus"),  json.get<std::string>("shard"),
           json.get<std::uint64_t>("bytes"), json.get<std::uint64_t>("sampled_bytes"),
           json.get<std::string>("hash"),    json.get_or_null<std::string>("xxh3").value_or("")};
}

std::string to_jsonl(const std::vector<ShardFingerprint>& fingerprints) {
  std::string text;
  for (const ShardFingerprint& shard : fingerprints) text += json_line(shard) + "\n";
  return text;
}

std::vector<ShardFingerprint> fingerprints_from_jsonl(const std::string& text, const std::string& file) {
  std::vector<ShardFingerprint> fingerprints;
  for_each_json_line(text, file, "",
                     [&](const JsonValue& json) { fingerprints.push_back(json.as<ShardFingerprint>()); });
  return fingerprints;
}

}  // namespace millrace
