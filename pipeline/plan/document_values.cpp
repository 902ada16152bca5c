#include "pipeline/plan/document_values.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/corpora/shard_index.h"
#include "pipeline/mutex.h"
#include "stages/errors.h"
#include "stages/record_reader.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

constexpr std::uint32_t kNoDocument = 0xFFFF'FFFF;

/// Numbers values in the order in which they come.
class Numbering {
 public:
  std::uint32_t number_of(const std::string& value) {
    const auto known = numbers_.find(value);
    if (known != numbers_.end()) return known->second;
    if (values_.size() > FieldValues::kMostValues) return kFurther;
    values_.push_back(value);
    return numbers_.emplace(value, static_cast<std::uint32_t>(values_.size() - 1)).first->second;
  }

  /// By number; the first stands for all further values.
  const std::vector<std::string>& values() const { return values_; }

  static constexpr std::uint32_t kFurther = 0;

 private:
  std::vector<std::string> values_{""};
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

/// A shard with a numbering of its own.
struct ReadShard {
  DocumentValues::InShard found;
  Numbering numbering;
};

ReadShard read_shard(const StreamConfig& config, const RunCorpus& corpus, std::size_t shard, const std::string& field,
                     const JobCallbacks& watch) {
  const std::string path = shard_path(config, corpus.shards[shard]);
  ReadOptions options = reader_options(config, corpus.corpus, path);
  options.fields = {field};
  ReadShard read;
  const std::unique_ptr<RecordReader> reader = open_shard(path, options);
  for (Record record; reader->next(record);) {
    watch.leave_if_interrupted();
    const auto* document = std::get_if<Document>(&record);
    if (document == nullptr) continue;
    const std::uint32_t value = read.numbering.number_of(document->fields.at(0));
    read.found.of_record.resize(document->where.record, kNoDocument);
    read.found.of_record.push_back(value);
    if (!is_held_out(document->text, config.holdout))
      read.found.text_bytes[value] += static_cast<double>(document->text.size());
  }
  return read;
}

/// The shard's values by the numbers of a numbering for all shards.
DocumentValues::InShard renumbered(ReadShard read, Numbering& all) {
  std::vector<std::uint32_t> numbers{Numbering::kFurther};
  for (std::size_t i = 1; i < read.numbering.values().size(); ++i)
    numbers.push_back(all.number_of(read.numbering.values()[i]));
  DocumentValues::InShard shard{std::move(read.found.of_record), {}};
  for (std::uint32_t& value : shard.of_record)
    if (value != kNoDocument) value = numbers[value];
  for (const auto& [value, bytes] : read.found.text_bytes) shard.text_bytes[numbers[value]] += bytes;
  return shard;
}

}  // namespace

DocumentValues::DocumentValues(const StreamConfig& config, const RunCorpus& corpus, const std::string& field,
                               int threads, const JobCallbacks& watch)
    : names_(corpus.shards) {
  std::vector<ReadShard> read(corpus.shards.size());
  Mutex mutex;
  std::uint64_t done = 0;
  oneapi::tbb::task_arena arena(threads > 0 ? threads : oneapi::tbb::task_arena::automatic);
  arena.execute([&] {
    oneapi::tbb::parallel_for(std::size_t{0}, read.size(), [&](std::size_t i) {
      read[i] = read_shard(config, corpus, i, field, watch);
      const MutexLock lock(mutex);
      watch.progress(fmt::format("{} of {}", field, corpus.corpus.name), ++done, read.size(), "shards");
    });
  });
  Numbering all;  // In the shards' order, whichever thread was the first.
  for (ReadShard& shard : read) shards_.push_back(renumbered(std::move(shard), all));
  values_ = static_cast<std::uint32_t>(all.values().size());
  any_ = std::any_of(all.values().begin() + 1, all.values().end(),
                     [](const std::string& value) { return !value.empty(); });
}

std::uint32_t DocumentValues::of(std::uint32_t shard, std::uint64_t record) const {
  const std::vector<std::uint32_t>& values = shards_.at(shard).of_record;
  if (record >= values.size() || values[record] == kNoDocument)
    throw DataError(fmt::format("{}: record {} was read for a row, and is no document now: the shard changed",
                                names_[shard], record));
  return values[record];
}

std::vector<double> DocumentValues::tokens(const std::vector<double>& shard_tokens) const {
  std::vector<double> tokens(values_);
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    double bytes = 0;
    for (const auto& [value, bytes_of_value] : shards_[shard].text_bytes) bytes += bytes_of_value;
    for (const auto& [value, bytes_of_value] : shards_[shard].text_bytes)
      tokens[value] += shard_tokens.at(shard) * bytes_of_value / bytes;
  }
  return tokens;
}

}  // namespace millrace
