#include "pipeline/python/opened_run.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/config/stream_file.h"
#include "pipeline/corpora/shard_fingerprint.h"
#include "pipeline/keys/config_table.h"
#include "stages/content_hash.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostBatchRows = 1 << 24;
constexpr std::uint64_t kSample = 128ull << 10;  ///< Bytes of a shard.
constexpr std::size_t kShardsAtOnce = 256;       ///< Shards between two looks at `interrupted`.

/// fingerprints_of() a corpus.
std::vector<ShardFingerprint> interruptible_fingerprints(const StreamConfig& stream, const RunCorpus& corpus,
                                                         const std::vector<ShardFingerprint>& recorded,
                                                         const std::atomic<bool>& interrupted) {
  std::vector<ShardFingerprint> all;
  for (std::size_t from = 0; from < corpus.shards.size(); from += kShardsAtOnce) {
    if (interrupted) throw Interrupted();
    const auto first = corpus.shards.begin() + static_cast<std::ptrdiff_t>(from);
    RunCorpus part = corpus;
    part.shards.assign(first,
                       first + static_cast<std::ptrdiff_t>(std::min(kShardsAtOnce, corpus.shards.size() - from)));
    const std::vector<ShardFingerprint> found = fingerprints_of(stream, {part}, recorded);
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

}  // namespace

StreamOfRun open_run(const RunToOpen& options) {
  StreamOfRun run;
  run.file = options.file;
  if (std::filesystem::is_directory(run.file)) {
    run.folder = std::exchange(run.file, run.file / "run.toml");
    if (!std::filesystem::exists(run.file))
      throw ConfigError(
          fmt::format("{}: a folder without run.toml; expected a run file, or the folder of a run that was "
                      "trained",
                      run.folder.string()));
  }
  const ConfigTable table = ConfigTable::read(run.file, options.sets);
  run.stream = read_stream(table);
  run.vocabulary = table.path("vocab");
  if (!run.folder.empty() && !std::filesystem::exists(run.vocabulary)) run.vocabulary = run.folder / "vocab.model";
  if (!options.data.empty())
    run.stream.data_directory = std::filesystem::absolute(options.data).lexically_normal().string();
  for (const char* of_training : {"model", "eval", "checkpoint", "log"}) static_cast<void>(table.has(of_training));
  const ConfigTable train = table.table("train");
  if (train.has("batch_rows"))
    run.batch_rows = static_cast<int>(train.count("batch_rows", WholeRange{1, kMostBatchRows}));
  const std::uint64_t end = run.stream.phases.back().until;
  const std::uint64_t tokens = train.has("tokens") ? train.count("tokens") : 0;
  if (tokens > end) train.fail("tokens", fmt::format("is {}, but the last phase ends at {}", tokens, end));
  if (tokens > 0) run.stream = stream_up_to(run.stream, tokens);
  table.refuse_unknown_keys();
  return run;
}

std::map<std::string, std::string> shard_hashes(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                                const std::atomic<bool>& interrupted) {
  std::map<std::string, std::string> hashes;
  for (const RunCorpus& corpus : corpora) {
    std::vector<ShardFingerprint> samples;
    for (const std::string& shard : corpus.shards) samples.push_back({corpus.corpus.name, shard, 0, kSample, "", ""});
    ContentHash hash;
    for (const ShardFingerprint& shard : interruptible_fingerprints(stream, corpus, samples, interrupted)) {
      const std::string line = fmt::format("{}\n{}\n{}\n", shard.shard.size(), shard.shard, shard.hash);
      hash.add(line.data(), line.size());
    }
    hashes[corpus.corpus.name] = hash.hex();
  }
  return hashes;
}

void expect_recorded_shards(const std::filesystem::path& run_folder, const StreamConfig& stream,
                            const std::vector<RunCorpus>& corpora, const std::atomic<bool>& interrupted) {
  constexpr std::size_t kMostNamed = 10;
  const std::filesystem::path file = run_folder / "shards.jsonl";
  if (!std::filesystem::exists(file)) return;  // Of a program that recorded none.
  const std::vector<ShardFingerprint> recorded = fingerprints_from_jsonl(read_whole_file(file), file.string());
  std::vector<ShardFingerprint> now;
  for (const RunCorpus& corpus : corpora) {
    const std::vector<ShardFingerprint> part = interruptible_fingerprints(stream, corpus, recorded, interrupted);
    now.insert(now.end(), part.begin(), part.end());
  }
  std::vector<std::string> changes = differences(recorded, now);
  if (changes.empty()) return;
  if (changes.size() > kMostNamed) {
    const std::size_t more = changes.size() - kMostNamed;
    changes.resize(kMostNamed);
    changes.push_back(fmt::format("and {} more", more));
  }
  throw ConfigError(
      fmt::format("run folder {}: the shards are not those that the run was begun with:\n  {}\nIts rows would "
                  "change. Restore the shards, or name the folder that they are in with data=",
                  run_folder.string(), fmt::join(changes, "\n  ")));
}

}  // namespace millrace
