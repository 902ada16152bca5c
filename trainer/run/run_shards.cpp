#include "trainer/run/run_shards.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "pipeline/corpora/shard_fingerprint.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "stages/shards/shard_to_records.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNamed = 10;

std::vector<ShardFingerprint> recorded_in(const fs::path& file) {
  return fingerprints_from_jsonl(read_whole_file(file), file.string());
}

[[noreturn]] void refuse(const fs::path& run_dir, const std::vector<std::string>& differences) {
  std::string message =
      fmt::format("run folder {}: the shards are not those that the run was begun with:", run_dir.string());
  for (std::size_t i = 0; i < std::min(differences.size(), kMostNamed); ++i) message += "\n  " + differences[i];
  if (differences.size() > kMostNamed) message += fmt::format("\n  and {} more", differences.size() - kMostNamed);
  throw ConfigError(message +
                    "\nThe run's rows would change. Restore the shards, name the folder that "
                    "they are in with --data, or begin a new run with --run-dir");
}

/// The run's corpora with their shards. If a pattern no longer matches anything, the error names the shards that it
/// matched.
std::vector<RunCorpus> find_corpora(const StreamConfig& stream, const fs::path& run_dir,
                                    const std::vector<ShardFingerprint>& recorded) {
  try {
    return corpora_of(stream, FindShards::yes);
  } catch (const ConfigError&) {
    const std::vector<std::string> gone = vanished(recorded, stream);
    if (gone.empty()) throw;
    refuse(run_dir, gone);
  }
}

std::string describe(const StreamConfig& stream, const RunCorpus& corpus) {
  const std::string first = shard_path(stream, corpus.shards.front());
  const ReadOptions options = reader_options(stream, corpus.corpus, first);
  open_shard(first, options);  // Throws if the filter does not fit.
  return fmt::format("corpus {}: {} shards, layout {}{}", corpus.corpus.name, corpus.shards.size(), options.layout.name,
                     corpus.corpus.layout.empty() ? " (recognised from the first one's content)" : "");
}

}  // namespace

RunShards find_run_shards(const StreamConfig& stream, const fs::path& run_dir, bool resume) {
  const fs::path file = shards_file(run_dir);
  const bool goes_on = resume && holds_run(run_dir);
  RunShards found;
  found.taken_on_trust = goes_on && !fs::exists(file);
  const std::vector<ShardFingerprint> recorded =
      goes_on && !found.taken_on_trust ? recorded_in(file) : std::vector<ShardFingerprint>();

  found.corpora = find_corpora(stream, run_dir, recorded);
  for (const RunCorpus& corpus : found.corpora) found.descriptions.push_back(describe(stream, corpus));
  for (std::string& line : passed_over(found.corpora)) found.descriptions.push_back(std::move(line));
  const std::vector<ShardFingerprint> now = fingerprints_of(stream, found.corpora, recorded);
  const std::vector<std::string> changes = differences(recorded, now);
  if (!changes.empty()) refuse(run_dir, changes);
  const std::vector<std::string> names = names_of(found.corpora);
  for (const ShardFingerprint& shard : recorded)
    if (std::ranges::find(names, shard.corpus) != names.end()) found.same_shards.insert(shard.corpus);
  found.record = to_jsonl(with_new_corpora(recorded, now));
  return found;
}

}  // namespace millrace
