#include "pipeline/corpora/corpus_set.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "pipeline/config/corpus_name.h"
#include "pipeline/corpora/foreign_shards.h"
#include "stages/errors.h"
#include "stages/listing/shard_list.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

bool same_source(const Corpus& a, const Corpus& b) {
  return a.patterns == b.patterns && a.layout == b.layout && a.text_field == b.text_field && a.filter == b.filter &&
         a.kind == b.kind && a.max_epochs == b.max_epochs && a.at_end == b.at_end;
}

/// Sets the corpus's shards, and what was passed over.
void find_shards(const StreamConfig& config, RunCorpus& found) {
  const Corpus& corpus = found.corpus;
  try {
    FoundShards shards = list_shards(corpus.patterns, config.data_directory);
    refuse_shards_without_a_name(shards.names);
    std::vector<std::string> paths;
    for (const std::string& shard : shards.names)
      if (!may_be_unreadable(config, shard)) paths.push_back(shard_path(config, shard));
    refuse_foreign(paths, corpus.layout);
    found.shards = std::move(shards.names);
    found.passed_over = std::move(shards.passed_over);
  } catch (const ConfigError& error) {
    const char* hint = config.data_directory.empty() ? "; name the folder that the shards stand in with --data" : "";
    throw ConfigError(fmt::format("{}: corpus \"{}\": {}{}", corpus.declared_at, corpus.name, error.what(), hint));
  }
}

}  // namespace

std::vector<RunCorpus> corpora_of(const StreamConfig& config, FindShards find) {
  std::vector<RunCorpus> corpora;
  for (const Phase& phase : config.phases) {
    for (const Corpus& corpus : phase.mix.corpora) {
      const auto known = std::ranges::find(corpora, corpus.name, [](const RunCorpus& c) { return c.corpus.name; });
      if (known == corpora.end()) {
        RunCorpus added{corpus, XXH3_64bits(corpus.name.data(), corpus.name.size()), {}, {}};
        if (find == FindShards::yes) find_shards(config, added);
        corpora.push_back(std::move(added));
      } else if (!same_source(known->corpus, corpus)) {
        throw ConfigError(
            fmt::format("{}: corpus \"{}\" differs from the corpus of that name in an earlier phase: one name, "
                        "one set of shards, layout, filters and max_epochs",
                        phase.mix.file, corpus.name));
      }
    }
  }
  return corpora;
}

std::vector<std::string> names_of(const std::vector<RunCorpus>& corpora) {
  std::vector<std::string> names;
  for (const RunCorpus& corpus : corpora) names.push_back(corpus.corpus.name);
  return names;
}

std::vector<std::string> passed_over(const std::vector<RunCorpus>& corpora) {
  std::vector<std::string> lines;
  for (const RunCorpus& corpus : corpora)
    for (const std::string& folder : corpus.passed_over)
      lines.push_back(fmt::format("corpus {}: passed over in {}", corpus.corpus.name, folder));
  return lines;
}

std::vector<std::size_t> indices_in(const std::vector<RunCorpus>& corpora, const Mix& mix) {
  std::vector<std::size_t> indices;
  for (const Corpus& corpus : mix.corpora) {
    const auto found = std::ranges::find(corpora, corpus.name, [](const RunCorpus& c) { return c.corpus.name; });
    indices.push_back(static_cast<std::size_t>(found - corpora.begin()));
  }
  return indices;
}

std::string shard_path(const StreamConfig& config, const std::string& shard) {
  return (std::filesystem::path(config.data_directory) / shard).string();
}

ReadOptions reader_options(const StreamConfig& config, const Corpus& corpus, const std::string& path) {
  ReadOptions options;
  options.max_record_bytes = config.max_record_bytes;
  options.layout = corpus.layout.empty() ? detect_layout(path) : layout_named(corpus.layout);
  if (!corpus.text_field.empty()) options.layout.text_field = corpus.text_field;
  options.filter = corpus.filter;
  return options;
}

bool may_be_unreadable(const StreamConfig& config, const std::string& shard) {
  const auto normal = [&](const std::string& path) {
    return std::filesystem::path(shard_path(config, path)).lexically_normal();
  };
  const auto same_file = [&](const std::string& allowed) {
    std::error_code not_there;
    return std::filesystem::equivalent(shard_path(config, allowed), shard_path(config, shard), not_there);
  };
  return std::ranges::any_of(config.allow_unreadable, [&](const std::string& allowed) {
    return normal(allowed) == normal(shard) || same_file(allowed);
  });
}

}  // namespace millrace
