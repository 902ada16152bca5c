#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/export/corpus_export.h"
#include "pipeline/export/export_account.h"
#include "pipeline/export/save_clock.h"
#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/staged_folder.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Writes each corpus's documents that are not held out, once, in shard and record order, eos after each; and
/// rejects.jsonl. A corpus with a budget ends with the document that reaches it. Goes on from the folder's last save.
/// Nothing is published. Fills `accounts` once complete.
/// Throws DataError as the run would: too many rejects, on_bad_data = "fail", a corpus without a document;
/// std::system_error if the disk fails.
ExportEnd export_documents(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                           const Vocabulary& vocabulary, const DocumentExport& what, StagedFolder& folder,
                           const ExportWatch& watch, std::vector<CorpusAccount>& accounts);

}  // namespace millrace
