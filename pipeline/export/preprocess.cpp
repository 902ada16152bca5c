#include "pipeline/export/preprocess.h"

#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/config/corpus_name.h"
#include "pipeline/export/document_export.h"
#include "pipeline/export/row_export.h"
#include "pipeline/formats/formats.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/disk.h"

namespace millrace {
namespace {

std::uint64_t part_bytes_of(const PreprocessOptions& options, const DocumentFormat* documents, const RowFormat* rows) {
  const std::uint64_t usual = documents != nullptr ? documents->part_bytes : rows->part_bytes;
  if (usual == 0) {
    if (options.part_bytes) throw ConfigError(fmt::format("--part-bytes: {} has no parts", options.format));
    return 0;
  }
  const std::uint64_t bytes = options.part_bytes.value_or(usual);
  if (bytes == 0 || (rows != nullptr && bytes > rows->most_part_bytes))
    throw ConfigError(fmt::format("--part-bytes {}: outside what {} can have", bytes, options.format));
  return bytes;
}

void check_tokens(const StreamConfig& config, const PreprocessOptions& options, const RowFormat* rows) {
  if (options.tokens == 0) throw ConfigError("--tokens is 0");
  if (rows == nullptr) return;
  if (!options.tokens)
    throw ConfigError(
        fmt::format("--tokens is missing: format {} holds rows of the run's stream, which has no end of "
                    "its own; say how many positions are wanted",
                    options.format));
  if (*options.tokens > config.phases.back().until)
    throw ConfigError(
        fmt::format("--tokens {}: the run's last phase ends at {}", *options.tokens, config.phases.back().until));
}

/// Files and folders are called after corpora.
void check_names(const StreamConfig& config) {
  std::vector<std::string> names;
  for (const RunCorpus& corpus : corpora_of(config, FindShards::no)) {
    if (const std::string why = why_no_corpus_name(corpus.corpus.name); !why.empty())
      throw ConfigError(fmt::format("corpus \"{}\" {}", corpus.corpus.name, why));
    names.push_back(corpus.corpus.name);
  }
  refuse_names_alike(names);
}

ExportIdentity identity_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                           const Vocabulary& vocabulary, const PreprocessOptions& options, std::uint64_t part_bytes,
                           const std::vector<ShardFingerprint>& recorded) {
  ExportIdentity identity;
  identity.format = options.format;
  identity.run = config.name;
  identity.facts = identity_of(config);
  identity.vocabulary = vocabulary.hash();
  identity.tokenizer = options.tokenizer;
  identity.vocabulary_size = static_cast<std::uint64_t>(vocabulary.size());
  identity.eos = vocabulary.eos();
  identity.tokens = options.tokens;
  identity.part_bytes = part_bytes;
  identity.shards = fingerprints_of(config, corpora, recorded);
  return identity;
}

void refuse_differences(const std::filesystem::path& folder, const ExportIdentity& there, const ExportIdentity& here) {
  const std::vector<std::string> differences = differences_of(there, here);
  if (differences.empty()) return;
  throw ConfigError(
      fmt::format("{}: holds an output of another configuration:\n  {}\nChoose another --out, or remove it",
                  folder.string(), fmt::join(differences, "\n  ")));
}

}  // namespace

PreprocessResult preprocess(const StreamConfig& config, const Vocabulary& vocabulary, const PreprocessOptions& given,
                            const ExportWatch& watch) {
  PreprocessOptions options = given;
  options.out = through_links(given.out);
  const DocumentFormat* documents = document_format(options.format);
  const RowFormat* rows = row_format(options.format);
  if (documents == nullptr && rows == nullptr)
    throw ConfigError(fmt::format("--format {}: there is no such format; known are {}, {}", options.format,
                                  names_of(document_formats()), names_of(row_formats())));
  check_tokens(config, options, rows);
  if (documents != nullptr) check_names(config);
  const std::uint64_t part_bytes = part_bytes_of(options, documents, rows);

  const std::optional<StagedFolder::Record> record = StagedFolder::inspect(options.out);
  std::optional<ExportIdentity> begun;
  if (record) begun = record->json.get<ExportIdentity>("identity");
  const std::vector<RunCorpus> corpora = corpora_of(config, FindShards::yes);
  for (const std::string& line : passed_over(corpora)) watch.notice(line);
  const ExportIdentity identity = identity_of(config, corpora, vocabulary, options, part_bytes,
                                              begun ? begun->shards : std::vector<ShardFingerprint>());
  if (begun) refuse_differences(options.out, *begun, identity);
  if (record && record->complete) return {ExportEnd::complete, true, record->json.as<ExportManifest>()};

  StagedFolder folder(options.out, identity);
  PreprocessResult result;
  ExportManifest& manifest = result.manifest;
  manifest.identity = identity;
  manifest.ids_as = ids_as(vocabulary.slow_because());
  if (documents != nullptr) {
    manifest.id_type = name_of(documents->id_type(identity.vocabulary_size));
    result.end = export_documents(config, corpora, vocabulary,
                                  {documents, options.tokens, part_bytes, options.tokenizer, options.threads}, folder,
                                  watch, manifest.accounts);
  } else {
    manifest.id_type = name_of(IdType::i32);
    manifest.length = config.sequence_length;
    RowsWritten written;
    result.end = export_rows(config, corpora, vocabulary, *rows, identity, options.threads, folder, watch, written);
    manifest.rows = written.rows;
    manifest.stream_ended = written.end.has_value();
    manifest.end = std::move(written.end);
    manifest.accounts = std::move(written.accounts);
  }
  if (result.end == ExportEnd::interrupted) return result;
  manifest.files = folder.sums();
  folder.publish(manifest);
  return result;
}

}  // namespace millrace
