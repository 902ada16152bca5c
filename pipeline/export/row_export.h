#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/export/export_account.h"
#include "pipeline/export/save_clock.h"
#include "pipeline/formats/export_identity.h"
#include "pipeline/formats/row_writer.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/rows/stream_row.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// What became of the rows that were asked for.
struct RowsWritten {
  std::uint64_t rows = 0;
  std::optional<StreamRow> end;  ///< ExportManifest::end; none: there were as many as asked for.
  std::vector<CorpusAccount> accounts;
};

/// Writes the stream's rows from the first on, until they have `identity.tokens` positions or the stream ends; and
/// rejects.jsonl. Goes on from the folder's last save, which is made behind every part. Nothing is published. Fills
/// `written` once complete. Throws what DataPipeline throws; std::system_error if the disk fails.
ExportEnd export_rows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const Vocabulary& vocabulary,
                      const RowFormat& format, const ExportIdentity& identity, int threads, StagedFolder& folder,
                      const ExportWatch& watch, RowsWritten& written);

}  // namespace millrace
