#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "pipeline/corpora/loss_judge.h"
#include "pipeline/json_text.h"
#include "pipeline/shell_word.h"
#include "stages/errors.h"
#include "stages/io/input_file.h"
#include "stages/listing/folder_walk.h"
#include "stages/shards/shard_to_records.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

constexpr std::size_t kBatchRecords = 4096;
constexpr std::size_t kBatchBytes = 8 << 20;

struct TokenizeArguments {
  std::string vocabulary;
  std::string in;
  std::string field = "text";
  bool pieces = false;
  int threads = 0;
};

/// Ids as elements of a JSON array, or their pieces.
std::string as_elements(const Vocabulary& vocabulary, std::span<const TokenId> ids, bool pieces) {
  if (!pieces) return fmt::format("{}", fmt::join(ids, ","));
  std::string elements;
  for (const TokenId id : ids) elements += (elements.empty() ? "" : ",") + json_line(vocabulary.piece(id));
  return elements;
}

/// A record's output. A large one is formatted piece by piece while it is printed.
class Line {
 public:
  void encode(const std::string& text, const Vocabulary& vocabulary, bool pieces) {
    vocabulary.encode(text, ids_);
    if (text.size() >= kLargeText && !ids_.empty()) return;
    line_ = fmt::format("[{}]\n", as_elements(vocabulary, ids_, pieces));
    ids_ = {};
  }

  void print(const Vocabulary& vocabulary, bool pieces) const {
    if (ids_.empty()) return print_results(line_);
    for (std::size_t at = 0; at < ids_.size(); at += kPrintedIds) {
      const auto part = std::span(ids_).subspan(at, std::min(kPrintedIds, ids_.size() - at));
      print_results((at == 0 ? "[" : ",") + as_elements(vocabulary, part, pieces));
    }
    print_results("]\n");
  }

 private:
  static constexpr std::size_t kLargeText = 1 << 20;  ///< Bytes.
  static constexpr std::size_t kPrintedIds = 16 << 10;

  std::string line_ = "null\n";
  std::vector<TokenId> ids_;  ///< Of a large text.
};

/// A batch of records, encoded by several threads and written in order.
struct TextBatch {
  std::vector<Record> records;
  std::uint64_t bytes = 0;

  bool is_full() const { return records.size() >= kBatchRecords || bytes >= kBatchBytes; }
};

/// Reads a shard in batches and counts the rejects.
class BatchReader {
 public:
  BatchReader(std::string name, std::unique_ptr<RecordReader> reader)
      : name_(std::move(name)), reader_(std::move(reader)) {}

  /// Empty at the end. Throws Interrupted after Ctrl-C.
  TextBatch next() {
    TextBatch batch;
    for (Record record; !batch.is_full() && reader_->next(record);) {
      if (interrupt_requested()) throw Interrupted();
      if (const auto* document = std::get_if<Document>(&record)) batch.bytes += document->text.size();
      if (const auto* reject = std::get_if<Reject>(&record); reject != nullptr && !count(*reject)) continue;
      batch.records.push_back(std::move(record));
    }
    share_read_ = reader_->share_read();
    records_read_ = reader_->next_record();
    return batch;
  }

  double share_read() const { return share_read_; }
  std::uint64_t records_read() const { return records_read_; }
  const std::map<std::string, std::uint64_t>& rejects() const { return rejects_; }
  bool is_damaged() const { return damaged_; }

 private:
  /// False if the reject is not a record but a part of the file.
  bool count(const Reject& reject) {
    ++rejects_[name_of(reject.cause)];
    if (is_of_a_record(reject.cause)) return true;
    damaged_ = true;
    say("{}: {}: {}", name_, name_of(reject.cause), reject.reason);
    return false;
  }

  std::string name_;
  std::unique_ptr<RecordReader> reader_;
  std::map<std::string, std::uint64_t> rejects_;
  bool damaged_ = false;
  double share_read_ = 0;
  std::uint64_t records_read_ = 0;
};

/// Waits for a batch that is being read. A read from a pipe cannot be interrupted; nothing is lost if the process ends
/// during it.
TextBatch taken(std::future<TextBatch> batch) {
  while (batch.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (!interrupt_requested()) continue;
    try {
      flush_results();
    } catch (const std::system_error&) {
      // After Ctrl-C the results are not wanted.
    }
    std::_Exit(kInterruptedExit);
  }
  return batch.get();
}

void encode_and_print(const TextBatch& batch, const Vocabulary& vocabulary, const TokenizeArguments& arguments) {
  std::vector<Line> lines(batch.records.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < lines.size(); i = next++) {
      const auto* document = std::get_if<Document>(&batch.records[i]);
      if (document != nullptr) lines[i].encode(document->text, vocabulary, arguments.pieces);
    }
  };
  std::vector<std::future<void>> helpers;
  for (int i = 1; i < arguments.threads; ++i) helpers.push_back(std::async(std::launch::async, work));
  work();
  for (std::future<void>& helper : helpers) helper.get();
  for (const Line& line : lines) line.print(vocabulary, arguments.pieces);
}

/// Throws ConfigError unless `path` is a file that may be a shard.
void require_shard(const std::string& path) {
  const auto refuse = [&path](const std::string& why) { throw ConfigError(fmt::format("--in {}: {}", path, why)); };
  switch (kind_of(path)) {
    case FolderEntry::Kind::file:
      break;
    case FolderEntry::Kind::folder:
      refuse("a folder; name one shard of it");
      break;
    case FolderEntry::Kind::special:
      refuse("a FIFO, socket or device; a stream is read from standard input: --in - < " + shell_word(path));
      break;
    default:
      refuse("there is no such file");
  }
  if (const std::optional<ForeignContainer> foreign = foreign_shard(path, "custom")) refuse(foreign->told());
}

void tokenize(TokenizeArguments arguments) {
  if (arguments.threads == 0) arguments.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const bool is_stream = names_standard_input(arguments.in);
  if (!is_stream) require_shard(arguments.in);
  const Vocabulary vocabulary = open_vocabulary(arguments.vocabulary);
  const ReadOptions options{{"custom", arguments.field}};
  BatchReader reader(arguments.in, is_stream ? open_standard_input(options) : open_shard(arguments.in, options));
  const std::uint64_t file_bytes = is_stream ? 0 : std::filesystem::file_size(arguments.in);
  Progress progress("tokenizing", file_bytes, is_stream ? "records" : "bytes of the shard");
  progress.update(0);
  const auto begin_reading = [&reader] { return std::async(std::launch::async, [&reader] { return reader.next(); }); };
  for (TextBatch batch = taken(begin_reading()); !batch.records.empty();) {
    std::future<TextBatch> following = begin_reading();
    encode_and_print(batch, vocabulary, arguments);
    batch = taken(std::move(following));
    progress.update(is_stream ? reader.records_read()
                              : static_cast<std::uint64_t>(reader.share_read() * static_cast<double>(file_bytes)));
  }
  progress.finish();
  flush_results();
  for (const auto& [cause, count] : reader.rejects()) say("rejected: {} {}", count, cause);
  if (reader.is_damaged()) throw DataError(fmt::format("{}: a part of the file could not be read", arguments.in));
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto arguments = std::make_shared<TokenizeArguments>();
  const Command command(app, "tokenize", "Print the token ids of every record, one JSON array a line");
  command.add_option("--vocab", arguments->vocabulary, "A SentencePiece .model file").required();
  command.add_option("--in", arguments->in, "Shard: JSON lines (plain, zstd, gzip) or Parquet; - reads standard input")
      .required();
  command.add_option("--field", arguments->field, "Field of the text; a dotted path in JSON");
  command.add_flag("--pieces", arguments->pieces, "Print the pieces instead of their ids");
  command.add_threads_option(arguments->threads, "Threads", "one a processor");
  command.footer(
      "A record that cannot be read gives null.\n\n"
      "Example:\n  millrace tokenize --vocab data/vocab.model --in shard.jsonl.zst > ids.jsonl\n"
      "  head -n 3 shard.jsonl | millrace tokenize --vocab data/vocab.model --in -");
  command.callback([arguments] { tokenize(*arguments); });
}

}  // namespace millrace
