#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/export/export_account.h"
#include "pipeline/export/rejects_file.h"
#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/mix/encoded_record.h"
#include "pipeline/mix/record_account.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// What is written of a run's documents, and how.
struct DocumentExport {
  const DocumentFormat* format = nullptr;
  std::optional<std::uint64_t> tokens;  ///< Raw tokens of all corpora; none: every document.
  std::uint64_t part_bytes = 0;
  std::string tokenizer;
  int threads = 0;  ///< 0: all cores. The files do not depend on it.
};

/// Writes one corpus's encoded records, in order, into a format's files, and keeps its account. One thread at a time;
/// views of what it is given.
class CorpusExport {
 public:
  CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
               const DocumentExport& what, StagedFolder& folder, RejectsFile& rejects, CorpusAccount& account);

  /// The corpus has reached its budget: nothing more of it is written.
  bool is_full() const { return account_.budget && account_.raw_tokens >= *account_.budget; }
  /// Writes the next record of a CorpusScan; its document's first field is its id. Throws DataError as export_documents
  /// does.
  void write(EncodedRecord item);
  /// Makes the corpus's files whole and its account complete. Call once, last.
  void finish();

 private:
  const StreamConfig& config_;
  const RunCorpus& corpus_;
  RejectsFile& rejects_;
  CorpusAccount& account_;
  const TokenId eos_;
  RecordAccount records_;
  std::unique_ptr<DocumentWriter> writer_;
};

}  // namespace millrace
