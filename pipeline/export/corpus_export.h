#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/corpus_scan.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/loss_judge.h"
#include "pipeline/corpora/reject_notices.h"
#include "pipeline/export/export_account.h"
#include "pipeline/export/save_clock.h"
#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/mix/encoded_record.h"
#include "pipeline/mix/record_to_tokens.h"

namespace millrace {

/// What is written of a run's documents, and how.
struct DocumentExport {
  const DocumentFormat* format = nullptr;
  std::optional<std::uint64_t> tokens;  ///< Raw tokens of all corpora; none: every document.
  std::uint64_t part_bytes = 0;
  std::string tokenizer;
  int threads = 0;  ///< 0: all cores. The files do not depend on it.
};

/// A batch on its way into files: records, and then what they became.
struct EncodedBatch {
  RecordBatch read;
  std::vector<EncodedRecord> items;    ///< One an entry.
  std::vector<RecordLocation> places;  ///< Likewise.
  std::vector<std::string> ids;        ///< Likewise.
};

/// Fills a batch that was read. Pure; any thread.
void encode(EncodedBatch& batch, const Vocabulary& vocabulary, double holdout);

/// Writes one corpus's batches, in order, into a format's files, and keeps its account. One thread at a time; views of
/// what it is given.
class CorpusExport {
 public:
  CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
               const DocumentExport& what, StagedFolder& folder, const ExportWatch& watch, CorpusAccount& account);

  /// The corpus has reached its budget: nothing more of it is written.
  bool is_full() const { return account_.budget && account_.raw_tokens >= *account_.budget; }
  /// Writes a batch up to the document that fills the budget. Throws DataError as export_documents does.
  void write(EncodedBatch& batch);
  /// Makes the corpus's files whole and its account complete. Call once, last.
  void finish();

 private:
  void note(Reject& reject, std::uint64_t shard);
  void count(const EncodedRecord& item, bool is_record);
  void judge(bool at_end) const;

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  StagedFolder& folder_;
  const ExportWatch& watch_;
  CorpusAccount& account_;
  const TokenId eos_;
  LossJudge judge_;
  RejectNotices notices_;
  std::unique_ptr<DocumentWriter> writer_;
};

}  // namespace millrace
