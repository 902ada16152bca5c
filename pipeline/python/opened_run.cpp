#include "pipeline/python/opened_run.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

#include "pipeline/config/stream_file.h"
#include "pipeline/corpora/shard_fingerprint.h"
#include "pipeline/keys/config_table.h"
#include "stages/content_hash.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostBatchRows = 1 << 24;
constexpr std::uint64_t kSample = 128ull << 10;  ///< Bytes of a shard.
constexpr std::size_t kShardsAtOnce = 256;       ///< Shards between two looks at `interrupted`.

}  // namespace

StreamOfRun open_run(const RunToOpen& options) {
  StreamOfRun run;
  run.file = options.file;
  if (std::filesystem::is_directory(run.file))
    throw ConfigError(
        fmt::format("{}: a folder; expected a run file, as {}", run.file.string(), (run.file / "run.toml").string()));
  const ConfigTable table = ConfigTable::read(run.file, options.sets);
  run.stream = read_stream(table);
  run.vocabulary = table.path("vocab");
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
    ContentHash hash;
    for (std::size_t from = 0; from < corpus.shards.size(); from += kShardsAtOnce) {
      if (interrupted) throw Interrupted();
      const auto first = corpus.shards.begin() + static_cast<std::ptrdiff_t>(from);
      RunCorpus part = corpus;
      part.shards.assign(first,
                         first + static_cast<std::ptrdiff_t>(std::min(kShardsAtOnce, corpus.shards.size() - from)));
      std::vector<ShardFingerprint> samples;
      for (const std::string& shard : part.shards) samples.push_back({corpus.corpus.name, shard, 0, kSample, "", ""});
      for (const ShardFingerprint& shard : fingerprints_of(stream, {part}, samples)) {
        const std::string line = fmt::format("{}\n{}\n{}\n", shard.shard.size(), shard.shard, shard.hash);
        hash.add(line.data(), line.size());
      }
    }
    hashes[corpus.corpus.name] = hash.hex();
  }
  return hashes;
}

}  // namespace millrace
