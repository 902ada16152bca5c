#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
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

/// A batch of lines, encoded by several threads and written in order.
class Batch {
 public:
  void add(Record record) {
    if (const auto* document = std::get_if<Document>(&record)) bytes_ += document->text.size();
    records_.push_back(std::move(record));
  }
  bool is_full() const { return records_.size() >= kBatchRecords || bytes_ >= kBatchBytes; }
  std::uint64_t bytes() const { return bytes_; }

  void encode_and_print(const Vocabulary& vocabulary, const Arguments& arguments) {
    lines_.assign(records_.size(), "null\n");
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i = next++; i < records_.size(); i = next++) {
        const auto* document = std::get_if<Document>(&records_[i]);
        if (document != nullptr) lines_[i] = as_line(vocabulary, document->text, arguments.pieces);
      }
    };
    std::vector<std::future<void>> helpers;
    for (int i = 1; i < arguments.threads; ++i) helpers.push_back(std::async(std::launch::async, work));
    work();
    for (std::future<void>& helper : helpers) helper.get();
    for (const std::string& line : lines_) {
      if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) {
        throw std::system_error(errno, std::generic_category(), "standard output");
      }
    }
    records_.clear();
    bytes_ = 0;
  }

 private:
  std::vector<Record> records_;
  std::vector<std::string> lines_;
  std::uint64_t bytes_ = 0;
};

void tokenize(Arguments arguments) {
  if (arguments.threads < 0) throw ConfigError("--threads must be at least 1");
  if (arguments.threads == 0) arguments.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (!std::filesystem::is_regular_file(arguments.in)) {
    throw ConfigError(fmt::format("--in {}: there is no such file", arguments.in));
  }
  const Vocabulary vocabulary(arguments.vocabulary);
  const std::unique_ptr<RecordReader> reader = open_shard(arguments.in, {{"custom", arguments.field}});
  Progress progress("tokenizing", 0, "bytes of text");
  std::map<std::string, std::uint64_t> rejects;
  bool damaged = false;
  std::uint64_t bytes = 0;
  Batch batch;
  const auto flush = [&] {
    bytes += batch.bytes();
    batch.encode_and_print(vocabulary, arguments);
    progress.update(bytes);
  };
  progress.update(0);
  for (Record record; reader->next(record);) {
    if (interrupt_requested()) throw Interrupted();
    if (const auto* reject = std::get_if<Reject>(&record)) {
      ++rejects[name_of(reject->cause)];
      if (!is_of_a_record(reject->cause)) {
        damaged = true;
        fmt::print(stderr, "{}: {}: {}\n", arguments.in, name_of(reject->cause), reject->reason);
        continue;
      }
    }
    batch.add(std::move(record));
    if (batch.is_full()) flush();
  }
  flush();
  progress.finish();
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "standard output");
  for (const auto& [cause, count] : rejects) fmt::print(stderr, "rejected: {} {}\n", count, cause);
  if (damaged) throw DataError(fmt::format("{}: a part of the file could not be read", arguments.in));
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids of every record, one JSON array a line");
  command->add_option("--vocab", arguments->vocabulary, "A SentencePiece .model file")->required();
  command->add_option("--in", arguments->in, "Shard: JSON lines (plain, zstd, gzip) or Parquet")->required();
  command->add_option("--field", arguments->field, "Field of the text; a dotted path in JSON");
  command->add_flag("--pieces", arguments->pieces, "Print the pieces instead of their ids");
  command->add_option("--threads", arguments->threads, "Threads; 0: one a processor");
  command->footer(
      "A record that cannot be read gives null.\n\n"
      "Example:\n  millrace tokenize --vocab data/vocab.model --in shard.jsonl.zst > ids.jsonl");
  command->callback([arguments] { tokenize(*arguments); });
}

}  // namespace millrace
