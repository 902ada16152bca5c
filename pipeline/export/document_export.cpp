#include "pipeline/export/document_export.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "pipeline/export/corpus_export.h"
#include "pipeline/export/rejects_file.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/mix/record_to_tokens.h"
#include "pipeline/plan/token_budget.h"
#include "pipeline/reading/corpus_scan.h"
#include "pipeline/seek_json.h"
#include "pipeline/stream/encode_corpus.h"

namespace millrace {
namespace {

constexpr std::uint64_t kBytesPerThread = 3ull << 20;  ///< On their way.

/// What a save remembers: the accounts of the corpora so far, the present one last, and where that one goes on.
struct DocumentProgress {
  std::vector<CorpusAccount> accounts;
  ScanCursor place;
  bool between_corpora = true;  ///< The last account is of a corpus that is through.
};

void to_json(Json& json, const DocumentProgress& progress) {
  json = {{"accounts", progress.accounts}, {"between_corpora", progress.between_corpora},
          {"shard", progress.place.shard}, {"record", progress.place.record},
          {"seek", progress.place.seek},   {"is_readable", progress.place.is_readable}};
}

void from_json(const JsonValue& json, DocumentProgress& progress) {
  progress.accounts = json.get<std::vector<CorpusAccount>>("accounts");
  progress.between_corpora = json.get<bool>("between_corpora");
  progress.place = {json.get<std::uint64_t>("shard"), json.get<std::uint64_t>("record"), json.get<SeekPoint>("seek"),
                    json.get<bool>("is_readable")};
}

/// The whole job: corpora in turn.
class Job {
 public:
  Job(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const Vocabulary& vocabulary,
      const DocumentExport& what, StagedFolder& folder, const ExportWatch& watch)
      : config_(config),
        vocabulary_(vocabulary),
        what_(what),
        folder_(folder),
        watch_(watch),
        corpora_(corpora),
        clock_(watch.save_every),
        threads_(what.threads > 0 ? static_cast<std::size_t>(what.threads)
                                  : std::max(1U, std::thread::hardware_concurrency())),
        budgets_(what.tokens ? token_budgets(config, corpora, *what.tokens) : std::vector<std::uint64_t>()),
        progress_(folder.state() ? folder.state()->as<DocumentProgress>() : DocumentProgress()),
        rejects_(folder, watch) {}

  ExportEnd run() {
    while (!progress_.between_corpora || progress_.accounts.size() < corpora_.size())
      if (run_corpus() == ExportEnd::interrupted) return ExportEnd::interrupted;
    rejects_.close();
    return ExportEnd::complete;
  }

  std::vector<CorpusAccount> accounts() { return std::move(progress_.accounts); }

 private:
  ExportEnd run_corpus() {
    if (std::exchange(progress_.between_corpora, false)) begin_account();
    const RunCorpus& corpus = corpora_[progress_.accounts.size() - 1];
    CorpusScan documents(config_, corpus, progress_.place,
                         what_.format->holds_record_ids ? CorpusShard::WithIds::yes : CorpusShard::WithIds::no);
    CorpusExport files(config_, corpus, vocabulary_, what_, folder_, rejects_, progress_.accounts.back());
    // Documents are written once, whatever epochs a mix asks for.
    const auto encode = [&](ReadRecord record) {
      return record_to_tokens(std::move(record), vocabulary_, {.holdout = config_.holdout});
    };
    bool interrupted = false;
    const auto take = [&](EncodedRecord item) {
      interrupted = watch_.interrupted();
      if (interrupted) return false;
      const ScanCursor after = item.after;
      files.write(std::move(item));
      progress_.place = after;
      show(documents.bytes());
      if (clock_.is_due()) save();
      return !files.is_full();
    };
    if (!files.is_full()) encode_corpus(documents, {encode, threads_, kBytesPerThread * threads_}, take);
    if (interrupted) {
      save();
      return ExportEnd::interrupted;
    }
    files.finish();
    progress_.between_corpora = true;
    progress_.place = {};
    save();
    return ExportEnd::complete;
  }

  void begin_account() {
    CorpusAccount account;
    account.corpus = corpora_[progress_.accounts.size()].corpus.name;
    if (what_.tokens) account.budget = budgets_[progress_.accounts.size()];
    progress_.accounts.push_back(std::move(account));
  }

  void show(std::uint64_t bytes) const {
    const CorpusAccount& account = progress_.accounts.back();
    if (account.budget) {
      watch_.progress(account.corpus, account.raw_tokens, *account.budget, "tokens");
    } else {
      watch_.progress(account.corpus, progress_.place.bytes_behind, bytes, "bytes");
    }
  }

  void save() {
    folder_.save(progress_);
    clock_.saved();
  }

  const StreamConfig& config_;
  const Vocabulary& vocabulary_;
  const DocumentExport& what_;
  StagedFolder& folder_;
  const ExportWatch& watch_;
  const std::vector<RunCorpus>& corpora_;
  SaveClock clock_;
  const std::size_t threads_;
  std::vector<std::uint64_t> budgets_;
  DocumentProgress progress_;
  RejectsFile rejects_;
};

}  // namespace

ExportEnd export_documents(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                           const Vocabulary& vocabulary, const DocumentExport& what, StagedFolder& folder,
                           const ExportWatch& watch, std::vector<CorpusAccount>& accounts) {
  Job job(config, corpora, vocabulary, what, folder, watch);
  const ExportEnd end = job.run();
  if (end == ExportEnd::complete) accounts = job.accounts();
  return end;
}

}  // namespace millrace
