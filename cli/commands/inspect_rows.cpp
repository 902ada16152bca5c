#include "cli/commands/inspect_rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/interrupt.h"
#include "cli/console/open_vocabulary.h"
#include "cli/views/row_view.h"
#include "pipeline/config/stream_identity.h"
#include "pipeline/export/stored_rows.h"
#include "pipeline/formats/staged_folder.h"
#include "stages/errors.h"

namespace millrace {
namespace {

/// Nothing if there is none and none is needed.
std::optional<Vocabulary> vocabulary_of(const RowsView& view, const ExportIdentity& identity) {
  if (view.vocabulary.empty()) {
    if (view.json || view.statistics) return std::nullopt;
    throw ConfigError(
        fmt::format("{}: a folder of rows holds ids: name the vocabulary they were made with ({}, hash {}) with "
                    "--vocab to read them as text, or ask for --json or --stats",
                    view.folder.string(), identity.tokenizer, identity.vocabulary));
  }
  Vocabulary vocabulary = open_vocabulary(view.vocabulary);
  if (vocabulary.hash() != identity.vocabulary)
    throw ConfigError(fmt::format("{}: made with another vocabulary ({}, hash {}) than {} (hash {})",
                                  view.folder.string(), identity.tokenizer, identity.vocabulary, view.vocabulary,
                                  vocabulary.hash()));
  return vocabulary;
}

}  // namespace

bool is_preprocessed(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kOutputManifest) || StagedFolder::is_begun(folder);
}

void inspect_rows(const RowsView& view) {
  if (!view.mixing.by.empty())
    throw ConfigError(
        fmt::format("{}: --by {} reads the shards again, which a folder of rows need not have: name the "
                    "run instead",
                    view.folder.string(), view.mixing.by));
  StoredRowReader reader(view.folder);
  const ExportManifest& manifest = reader.manifest();
  const ExportIdentity& identity = manifest.identity;
  if (view.first >= manifest.rows)
    throw ConfigError(
        fmt::format("{}: holds {} rows: there is no row {}", view.folder.string(), manifest.rows, view.first));
  const std::optional<Vocabulary> vocabulary = vocabulary_of(view, identity);
  const StreamConfig config = phases_in(identity.facts, (view.folder / kOutputManifest).string());
  const RowNames names = reader.names(config);
  const RowContext context{config, vocabulary ? &*vocabulary : nullptr, names.corpora, names.shards};
  RowCounts counts(config, static_cast<TokenId>(identity.vocabulary_size) - Vocabulary::kExtraIds, view.mixing);
  const std::uint64_t end = view.first + std::min(view.rows, manifest.rows - view.first);
  for (std::uint64_t number = view.first; number < end; ++number) {
    if (interrupt_requested()) throw Interrupted();
    const StreamRow row = reader.row(number);
    if (view.statistics) {
      counts.add(row);
    } else {
      print_row(row, context, view.json);
    }
  }
  if (!view.statistics) return;
  counts.print(
      context.corpora, [](std::uint32_t) { return std::vector{shard_property()}; }, view.json);
}

}  // namespace millrace
