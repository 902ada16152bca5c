#include "pipeline/document_export.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/corpus_documents.h"
#include "pipeline/record_to_item.h"
#include "pipeline/reject_json.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;
using oneapi::tbb::filter_mode;

constexpr std::size_t kBatchesPerThread = 3;
constexpr std::uint64_t kRecordsBeforeJudging = 10'000;  // As the stream's own rule.

/// A batch on its way: records, and then what they became.
struct BatchInMaking {
  RecordBatch read;
  std::vector<EncodedItem> items;  ///< One an entry.
  std::vector<Where> places;       ///< Likewise; and ids of records.
  std::vector<std::string> ids;
};
using BatchMessage = std::shared_ptr<BatchInMaking>;

void encode(BatchInMaking& batch, const Vocabulary& vocabulary, double holdout) {
  for (RecordBatch::Entry& entry : batch.read.entries) {
    Where& where = batch.places.emplace_back();
    std::string& id = batch.ids.emplace_back();
    if (auto* document = std::get_if<Document>(&entry.record)) {
      where = document->where;
      if (!document->fields.empty()) id = std::move(document->fields.front());
    }
    ReadItem item;
    item.record = std::move(entry.record);
    constexpr double kNoLimit = 0;  // Documents are written once, whatever epochs a mix asks for.
    batch.items.push_back(record_to_item(std::move(item), vocabulary, holdout, kNoLimit));
  }
}

/// One corpus's documents on their way into the format's files.
class CorpusExport {
 public:
  CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
               const DocumentExport& what, StagedFolder& folder, CorpusAccount& account)
      : config_(config), corpus_(corpus), folder_(folder), account_(account), eos_(vocabulary.eos()) {
    DocumentFiles files;
    files.corpus = corpus.corpus.name;
    files.id_type = what.format->id_type(static_cast<std::uint64_t>(vocabulary.size()));
    files.tokenizer = what.tokenizer;
    files.part_bytes = what.part_bytes;
    writer_ = what.format->writer(folder, files);
  }

  bool is_full() const { return account_.budget && account_.raw_tokens >= *account_.budget; }

  /// Writes a batch up to the document that fills the budget.
  void write(BatchInMaking& batch) {
    for (std::size_t i = 0; i < batch.items.size() && !is_full(); ++i) {
      EncodedItem& item = batch.items[i];
      for (Reject& reject : item.rejects) note(reject, batch.read.shard);
      count(item, batch.read.entries[i].counts);
      if (item.kind != EncodedItem::Kind::document) continue;
      ++account_.documents;
      account_.raw_tokens += item.tokens.size();
      TokenDocument document{std::move(item.tokens), std::move(batch.ids[i]), std::move(batch.places[i])};
      document.tokens.push_back(eos_);
      document.where.shard = corpus_.shards[batch.read.shard];
      writer_->add(document);
    }
  }

  void finish() {
    if (!is_full()) {
      judge();
      if (account_.documents == 0)
        throw DataError(
            fmt::format("corpus \"{}\": none of its {} records ({} rejected, {} filtered, {} held out) gives a "
                        "document; check its shards, layout, text_field, keep, drop and where",
                        corpus_.corpus.name, account_.records.read, account_.rejected_records,
                        account_.records.filtered, account_.records.held_out));
      account_.not_reached = 0;
    } else if (const auto known = records_in(config_, corpus_); known && *known >= account_.records.read) {
      account_.not_reached = *known - account_.records.read;
    }
    check_account(account_);
    writer_->finish();
  }

 private:
  void note(Reject& reject, std::uint64_t shard) {
    if (config_.on_bad_data == OnBadData::fail)
      throw DataError(fmt::format(
          "{}:{} (record {}, byte {}): {}: {}\n  in corpus \"{}\"; to skip such records set on_bad_data = \"skip\"",
          reject.where.shard, reject.where.line, reject.where.record, reject.where.byte, name_of(reject.cause),
          reject.reason, corpus_.corpus.name));
    ++account_.records.rejected[static_cast<std::size_t>(reject.cause)];
    reject.where.shard = corpus_.shards[shard];
    Json line{{"corpus", corpus_.corpus.name}};
    line.update(Json::parse(to_json(reject)));
    folder_.append(kRejects, line.dump() + "\n");
  }

  void count(const EncodedItem& item, bool is_record) {
    if (!is_record) return;
    ++account_.records.read;
    account_.records.held_out += item.kind == EncodedItem::Kind::held_out;
    account_.records.filtered += item.kind == EncodedItem::Kind::filtered;
    account_.rejected_records += item.kind == EncodedItem::Kind::rejected;
    if (account_.records.read >= kRecordsBeforeJudging) judge();
  }

  void judge() const {
    const std::uint64_t rejected = account_.records.rejected_total();
    const auto read = static_cast<double>(std::max<std::uint64_t>(account_.records.read, 1));
    if (static_cast<double>(rejected) <= config_.max_bad_fraction * read) return;
    throw DataError(
        fmt::format("corpus \"{}\": {} of {} records were rejected, more than max_bad_fraction = {} allows; "
                    "mend the shards or raise [data] max_bad_fraction",
                    corpus_.corpus.name, rejected, account_.records.read, config_.max_bad_fraction));
  }

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  StagedFolder& folder_;
  CorpusAccount& account_;
  const TokenId eos_;
  std::unique_ptr<DocumentWriter> writer_;
};

/// Files and folders are named after corpora.
void check_name(const std::string& corpus) {
  if (!corpus.empty() && corpus.front() != '.' && corpus.find_first_of("/\\\n") == std::string::npos) return;
  throw ConfigError(
      fmt::format("corpus \"{}\": its files are called after it, and no file can be; rename it in the mix", corpus));
}

/// What a save remembers: the accounts of the corpora so far, the present one last, and where that one goes on.
struct Progress {
  std::vector<CorpusAccount> accounts;
  DocumentPlace place;
  bool between_corpora = true;  ///< The last account is of a corpus that is through.
};

std::string to_json(const Progress& progress) {
  Json accounts = Json::array();
  for (const CorpusAccount& account : progress.accounts) accounts.push_back(json_of(account));
  const SeekPoint& seek = progress.place.seek;
  return Json{{"accounts", accounts},
              {"between_corpora", progress.between_corpora},
              {"shard", progress.place.shard},
              {"record", progress.place.record},
              {"seek", {seek.offset, seek.content, seek.byte, seek.line, seek.record}}}
      .dump();
}

Progress progress_from_json(const std::string& text) {
  const Json json = Json::parse(text);
  Progress progress;
  for (const Json& account : json.at("accounts")) progress.accounts.push_back(account_of(account));
  progress.between_corpora = json.at("between_corpora");
  const auto seek = json.at("seek").get<std::array<std::uint64_t, 5>>();
  progress.place = {json.at("shard"), json.at("record"), {seek[0], seek[1], seek[2], seek[3], seek[4]}};
  return progress;
}

/// The whole job: corpora in turn, each through one pipeline.
class Job {
 public:
  Job(const StreamConfig& config, const Vocabulary& vocabulary, const DocumentExport& what, StagedFolder& folder,
      const ExportWatch& watch)
      : config_(config),
        vocabulary_(vocabulary),
        what_(what),
        folder_(folder),
        watch_(watch),
        corpora_(corpora_of(config, FindShards::yes)),
        clock_(watch.save_every),
        threads_(what.threads > 0 ? static_cast<std::size_t>(what.threads)
                                  : std::max(1U, std::thread::hardware_concurrency())) {
    for (const RunCorpus& corpus : corpora_) check_name(corpus.corpus.name);
    if (what.tokens) budgets_ = token_budgets(config, corpora_, *what.tokens);
    if (folder.state()) progress_ = progress_from_json(*folder.state());
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
    CorpusDocuments documents(config_, corpus, progress_.place, std::string(what_.format->name) == "olmo");
    CorpusExport files(config_, corpus, vocabulary_, what_, folder_, progress_.accounts.back());
    std::atomic<bool> full = files.is_full();
    bool interrupted = false;

    const auto read = [&](oneapi::tbb::flow_control& control) -> BatchMessage {
      interrupted = watch_.interrupted();
      auto batch = std::make_shared<BatchInMaking>();
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

  void show(const BatchInMaking& batch, std::uint64_t bytes) const {
    const CorpusAccount& account = progress_.accounts.back();
    if (account.budget) {
      watch_.progress(account.corpus, account.raw_tokens, *account.budget, "tokens");
    } else {
      watch_.progress(account.corpus, batch.read.bytes_behind, bytes, "bytes");
    }
  }

  void save() {
    folder_.save(to_json(progress_));
    clock_.saved();
  }

  const StreamConfig& config_;
  const Vocabulary& vocabulary_;
  const DocumentExport& what_;
  StagedFolder& folder_;
  const ExportWatch& watch_;
  const std::vector<RunCorpus> corpora_;
  SaveClock clock_;
  const std::size_t threads_;
  std::vector<std::uint64_t> budgets_;
  Progress progress_;
};

}  // namespace

std::vector<std::uint64_t> token_budgets(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                         std::uint64_t tokens) {
  __extension__ using Wide = unsigned __int128;
  std::vector<Wide> weights(corpora.size(), 0);
  std::uint64_t from = 0;
  for (const Phase& phase : config.phases) {
    const std::vector<std::size_t> indices = indices_in(corpora, phase.mix);
    for (std::size_t i = 0; i < indices.size(); ++i)
      weights[indices[i]] += static_cast<Wide>(phase.mix.corpora[i].share) * (phase.until - from);
    from = phase.until;
  }
  const Wide whole = static_cast<Wide>(kShareUnits) * from;
  std::vector<std::uint64_t> budgets;
  for (const Wide weight : weights) {
    Wide product = 0;
    if (__builtin_mul_overflow(weight, static_cast<Wide>(tokens), &product))
      throw ConfigError(fmt::format("--tokens {}: too many to be shared out exactly", tokens));
    budgets.push_back(static_cast<std::uint64_t>(product / whole));
  }
  return budgets;
}

ExportEnd export_documents(const StreamConfig& config, const Vocabulary& vocabulary, const DocumentExport& what,
                           StagedFolder& folder, const ExportWatch& watch, std::vector<CorpusAccount>& accounts) {
  Job job(config, vocabulary, what, folder, watch);
  const ExportEnd end = job.run();
  if (end == ExportEnd::complete) accounts = job.accounts();
  return end;
}

}  // namespace millrace
