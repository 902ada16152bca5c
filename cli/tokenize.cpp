#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/messages.h"
#include "cli/open_vocabulary.h"
#include "cli/option_checks.h"
#include "cli/progress.h"
#include "cli/results.h"
#include "stages/document_to_tokens.h"
#include "stages/errors.h"
#include "stages/shard_to_records.h"

namespace millrace {
namespace {

constexpr std::size_t kBatchRecords = 4096;
constexpr std::size_t kBatchBytes = 8 << 20;

struct Arguments {
  std::string vocabulary;
  std::string in;
  std::string field = "text";
  bool pieces = false;
  int threads = 0;
};

/// True for what goes wrong with a record; the other causes are of the container and belong to no line.
bool is_of_a_record(RejectCause cause) {
  return cause <= RejectCause::too_long;
}

std::string as_line(const Vocabulary& vocabulary, const std::string& text, bool pieces) {
  const std::vector<TokenId> ids = vocabulary.encode(text);
  if (!pieces) return fmt::format("[{}]\n", fmt::join(ids, ","));
  nlohmann::json names = nlohmann::json::array();
  for (const TokenId id : ids) names.push_back(vocabulary.piece(id));
  return names.dump() + "\n";
}

/// Some records of the shard, to be encoded by several threads and written in order.
struct Batch {
  std::vector<Record> records;
  std::uint64_t bytes = 0;

  bool is_full() const { return records.size() >= kBatchRecords || bytes >= kBatchBytes; }
};

/// Reads a shard batch by batch, and counts what it could not read.
class BatchReader {
 public:
  BatchReader(const std::string& path, const std::string& field)
      : path_(path), reader_(open_shard(path, {{"custom", field}})) {}

  /// Empty at the end. Throws Interrupted after Ctrl-C.
  Batch next() {
    Batch batch;
    for (Record record; !batch.is_full() && reader_->next(record);) {
      if (interrupt_requested()) throw Interrupted();
      if (const auto* document = std::get_if<Document>(&record)) batch.bytes += document->text.size();
      if (const auto* reject = std::get_if<Reject>(&record); reject != nullptr && !count(*reject)) continue;
      batch.records.push_back(std::move(record));
    }
    share_read_ = reader_->share_read();
    return batch;
  }

  double share_read() const { return share_read_; }
  const std::map<std::string, std::uint64_t>& rejects() const { return rejects_; }
  bool is_damaged() const { return damaged_; }

 private:
  /// False: what was rejected is no record, but a part of the file.
  bool count(const Reject& reject) {
    ++rejects_[name_of(reject.cause)];
    if (is_of_a_record(reject.cause)) return true;
    damaged_ = true;
    say("{}: {}: {}", path_, name_of(reject.cause), reject.reason);
    return false;
  }

  std::string path_;
  std::unique_ptr<RecordReader> reader_;
  std::map<std::string, std::uint64_t> rejects_;
  bool damaged_ = false;
  double share_read_ = 0;
};

void encode_and_print(const Batch& batch, const Vocabulary& vocabulary, const Arguments& arguments) {
  std::vector<std::string> lines(batch.records.size(), "null\n");
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < lines.size(); i = next++) {
      const auto* document = std::get_if<Document>(&batch.records[i]);
      if (document != nullptr) lines[i] = as_line(vocabulary, document->text, arguments.pieces);
    }
  };
  std::vector<std::future<void>> helpers;
  for (int i = 1; i < arguments.threads; ++i) helpers.push_back(std::async(std::launch::async, work));
  work();
  for (std::future<void>& helper : helpers) helper.get();
  for (const std::string& line : lines) print_results(line);
}

void tokenize(Arguments arguments) {
  if (arguments.threads == 0) arguments.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (!std::filesystem::is_regular_file(arguments.in)) {
    throw ConfigError(fmt::format("--in {}: there is no such file", arguments.in));
  }
  const Vocabulary vocabulary = open_vocabulary(arguments.vocabulary);
  BatchReader reader(arguments.in, arguments.field);
  const std::uint64_t file_bytes = std::filesystem::file_size(arguments.in);
  Progress progress("tokenizing", file_bytes, "bytes of the shard");
  progress.update(0);
  for (Batch batch = reader.next(); !batch.records.empty();) {
    auto following = std::async(std::launch::async, [&reader] { return reader.next(); });
    encode_and_print(batch, vocabulary, arguments);
    batch = following.get();
    progress.update(static_cast<std::uint64_t>(reader.share_read() * static_cast<double>(file_bytes)));
  }
  progress.finish();
  flush_results();
  for (const auto& [cause, count] : reader.rejects()) say("rejected: {} {}", count, cause);
  if (reader.is_damaged()) throw DataError(fmt::format("{}: a part of the file could not be read", arguments.in));
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids of every record, one JSON array a line");
  command->add_option("--vocab", arguments->vocabulary, "A SentencePiece .model file")->required();
  command->add_option("--in", arguments->in, "Shard: JSON lines (plain, zstd, gzip) or Parquet")->required();
  command->add_option("--field", arguments->field, "Field of the text; a dotted path in JSON");
  command->add_flag("--pieces", arguments->pieces, "Print the pieces instead of their ids");
  add_threads_option(*command, arguments->threads, "Threads", "one a processor");
  command->footer(
      "A record that cannot be read gives null.\n\n"
      "Example:\n  millrace tokenize --vocab data/vocab.model --in shard.jsonl.zst > ids.jsonl");
  command->callback([arguments] { tokenize(*arguments); });
}

}  // namespace millrace
