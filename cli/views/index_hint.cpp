#include "cli/views/index_hint.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/data_manifest.h"
#include "pipeline/shell_word.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Why no index in the data folder can cover all of these; nullptr: one can.
const char* why_not_one_index(const StreamConfig& stream, const std::vector<const RunCorpus*>& corpora) {
  for (const RunCorpus* corpus : corpora) {
    const Corpus& first = corpora.front()->corpus;
    if (corpus->corpus.layout != first.layout || corpus->corpus.text_field != first.text_field)
      return "they have several layouts or text fields, an index has one";
    for (const std::string& shard : corpus->shards)
      if (*fs::path(shard_path(stream, shard)).lexically_relative(stream.data_directory).begin() == "..")
        return "some shards are outside the data folder";
  }
  return nullptr;
}

std::string command(const StreamConfig& stream, const Corpus& corpus, const fs::path& vocabulary) {
  const std::string& data = stream.data_directory;
  std::string text = fmt::format("millrace index {} --vocab {}", shell_word(data), shell_word(vocabulary.string()));
  if (!corpus.layout.empty()) text += " --layout " + shell_word(corpus.layout);
  if (!corpus.text_field.empty()) text += " --text-field " + shell_word(corpus.text_field);
  if (stream.holdout > 0) text += fmt::format(" --holdout {}", stream.holdout);
  return text + " --out " + shell_word((fs::path(data) / kManifestName).string());
}

}  // namespace

std::string index_hint(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                       const std::vector<AvailableTokens>& available, const fs::path& vocabulary) {
  std::vector<const RunCorpus*> countable;
  std::map<std::string, std::vector<std::string>> not_countable;
  bool wanted = false;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const bool estimated = available[i].error > 0;
    if (const char* why = why_not_countable(stream, corpora[i])) {
      if (estimated) not_countable[why].push_back(corpora[i].corpus.name);
      continue;
    }
    wanted = wanted || estimated;
    countable.push_back(&corpora[i]);
  }
  if (wanted) {
    if (const char* why = why_not_one_index(stream, countable)) {
      for (const RunCorpus* corpus : countable) not_countable[why].push_back(corpus->corpus.name);
      wanted = false;
    }
  }
  std::string text;
  if (wanted) text += fmt::format("  exact: {}\n", command(stream, countable.front()->corpus, vocabulary));
  for (const auto& [why, names] : not_countable)
    text += fmt::format("  not to be counted: {}: {}\n", fmt::join(names, ", "), why);
  return text;
}

}  // namespace millrace
