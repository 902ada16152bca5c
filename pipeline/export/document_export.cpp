#include "pipeline/export/document_export.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/corpora/corpus_scan.h"
#include "pipeline/export/corpus_export.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/plan/token_budget.h"
#include "pipeline/seek_json.h"

namespace millrace {
namespace {

using oneapi::tbb::filter_mode;

constexpr std::size_t kBatchesPerThread = 3;

using BatchMessage = std::shared_ptr<EncodedBatch>;

/// What a save remembers: the accounts of the corpora so far, the present one last, and where that one goes on.
struct Progress {
  std::vector<CorpusAccount> accounts;
  ScanCursor place;
  bool between_corpora = true;  ///< The last account is of a corpus that is through.
};

void to_json(Json& json, const Progress& progress) {
  json = {{"accounts", progress.accounts}, {"between_corpora", progress.between_corpora},
          {"shard", progress.place.shard}, {"record", progress.place.record},
          {"seek", progress.place.seek},   {"is_readable", progress.place.is_readable}};
}

void from_json(const JsonValue& json, Progress& progress) {
  progress.accounts = json.get<std::vector<CorpusAccount>>("accounts");
  progress.between_corpora = json.get<bool>("between_corpora");
  progress.place = {json.get<std::uint64_t>("shard"), json.get<std::uint64_t>("record"), json.get<SeekPoint>("seek"),
                    json.get<bool>("is_readable")};
}

/// The whole job: corpora in turn, each through one pipeline.
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
                                  : std::max(1U, std::thread::hardware_concurrency())) {
    if (what.tokens) budgets_ = token_budgets(config, corpora_, *what.tokens);
    if (folder.state()) progress_ = folder.state()->as<Progress>();
    folder.create(kRejects);
  }

  ExportEnd run() {
    const oneapi::tbb::global_control as_many_as_asked(oneapi::tbb::global_control::max_allowed_parallelism, threads_);
    oneapi::tbb::task_arena arena(static_cast<int>(threads_));
    while (!progress_.between_corpora || progress_.accounts.size() < corpora_.size()) {
      ExportEnd end = ExportEnd::complete;
      arena.execute([&] { end = run_corpus(); });
      if (end == ExportEnd::interrupted) return end;
    }
    folder_.close(kRejects);
    return ExportEnd::complete;
  }

  std::vector<CorpusAccount> accounts() { return std::move(progress_.accounts); }

 private:
  ExportEnd run_corpus() {
    if (std::exchange(progress_.between_corpora, false)) begin_account();
    const RunCorpus& corpus = corpora_[progress_.accounts.size() - 1];
    CorpusScan documents(config_, corpus, progress_.place, std::string(what_.format->name) == "olmo");
    CorpusExport files(config_, corpus, vocabulary_, what_, folder_, watch_, progress_.accounts.back());
    std::atomic<bool> full = files.is_full();
    bool interrupted = false;

    const auto read = [&](oneapi::tbb::flow_control& control) -> BatchMessage {
      interrupted = watch_.interrupted();
      auto batch = std::make_shared<EncodedBatch>();
      if (interrupted || full || !documents.next(batch->read)) control.stop();
      return batch;
    };
    const auto encode_batch = [&](BatchMessage batch) {
      encode(*batch, vocabulary_, config_.holdout);
      return batch;
    };
    const auto write = [&](const BatchMessage& batch) {
      if (full) return;
      files.write(*batch);
      full = files.is_full();
      progress_.place = batch->read.after;
      show(*batch, documents.bytes());
      if (clock_.is_due()) save();
    };
    oneapi::tbb::parallel_pipeline(
        kBatchesPerThread * threads_,
        oneapi::tbb::make_filter<void, BatchMessage>(filter_mode::serial_in_order, read) &
            oneapi::tbb::make_filter<BatchMessage, BatchMessage>(filter_mode::parallel, encode_batch) &
            oneapi::tbb::make_filter<BatchMessage, void>(filter_mode::serial_in_order, write));

    if (interrupted && !full) {
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

  void show(const EncodedBatch& batch, std::uint64_t bytes) const {
    const CorpusAccount& account = progress_.accounts.back();
    if (account.budget) {
      watch_.progress(account.corpus, account.raw_tokens, *account.budget, "tokens");
    } else {
      watch_.progress(account.corpus, batch.read.bytes_behind, bytes, "bytes");
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
  Progress progress_;
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
