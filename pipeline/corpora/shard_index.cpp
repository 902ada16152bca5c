#include "pipeline/corpora/shard_index.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/is_held_out.h"
#include "pipeline/mutex.h"
#include "stages/content_hash.h"
#include "stages/io/disk.h"
#include "stages/io/input_file.h"
#include "stages/listing/natural_order.h"
#include "stages/shards/shard_to_bytes.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSeekPointSpacing = 4ull << 20;  // Bytes of content.
constexpr std::size_t kHashPiece = 1 << 20;
constexpr std::uint64_t kProgressPiece = 4ull << 20;

/// Hashes a file from the bytes that its reader fetches, then reads and hashes what the reader skipped.
class HashBeside {
 public:
  void see(std::uint64_t offset, const char* data, std::size_t bytes) {
    if (offset != behind_) return;  // The reader skipped something: the rest is read again.
    hash_.add(data, bytes);
    behind_ += bytes;
  }

  /// Reads the rest. Empty if cancelled by `go_on`. Throws std::system_error.
  std::optional<std::string> finish(const std::string& path, const std::function<bool()>& go_on) {
    InputFile file(path);
    file.seek(behind_);
    std::vector<char> piece(behind_ < file.size() ? kHashPiece : 1);
    while (const std::size_t got = file.read(piece.data(), piece.size())) {
      hash_.add(piece.data(), got);
      if (!go_on()) return std::nullopt;
    }
    return hash_.hex();
  }

 private:
  ContentHash hash_;
  std::uint64_t behind_ = 0;
};

/// One shard's work: reading its records and hashing its bytes, which are read once but in Parquet and behind damage.
class ShardIndexer {
 public:
  ShardIndexer(std::string path, const std::string& shard, const IndexOptions& options, const BytesBehind& go_on)
      : path_(std::move(path)), options_(options), go_on_(go_on) {
    indexed_.entry.path = shard;
    if (options_.vocabulary != nullptr) indexed_.entry.tokens = 0;
  }

  std::optional<IndexedShard> run() {
    ShardEntry& entry = indexed_.entry;
    const std::optional<FileState> before = state_of(path_);
    if (before) {
      entry.bytes = before->bytes;
      entry.modified = before->modified;
    }
    if (!read_records()) return std::nullopt;
    try {
      if (!hash_bytes()) return std::nullopt;
    } catch (const std::system_error& error) {
      add_unreadable(error.code().message());
    }
    if (state_of(path_) != before) add_unreadable("the file changed or vanished while it was read");
    if (entry.rejects.contains(name_of(RejectCause::unreadable))) entry.xxh3.clear();
    return std::move(indexed_);
  }

 private:
  bool read_records() {
    Corpus corpus;
    corpus.layout = options_.layout;
    corpus.text_field = options_.text_field;
    ReadOptions options = reader_options({}, corpus, path_);
    if (!options_.by.empty()) options.fields = {options_.by};
    options.on_bytes = [this](std::uint64_t offset, const char* data, std::size_t bytes) {
      hash_.see(offset, data, bytes);
    };
    indexed_.entry.layout = options.layout.name;
    try {
      InputFile file(path_);
      indexed_.entry.container = name_of(container_of(file));
    } catch (const std::system_error& error) {  // Of a wrong path the reader says so, too.
      if (!is_wrong_path(error.code())) throw;
    }
    const std::unique_ptr<RecordReader> reader = open_shard(path_, options);
    // The place is asked for before the record, so that the shard's end is not among the places.
    SeekPoint point = reader->seek_point();
    for (Record record; reader->next(record); point = reader->seek_point()) {
      add(point);
      if (auto* reject = std::get_if<Reject>(&record)) {
        add(std::move(*reject));
      } else if (const auto* document = std::get_if<Document>(&record)) {
        add(*document);
      }
      if (!go_on_(point.offset)) return false;
    }
    return true;
  }

  bool hash_bytes() {
    const auto hash = hash_.finish(path_, [this] { return go_on_(indexed_.entry.bytes); });
    if (!hash) return false;
    indexed_.entry.xxh3 = *hash;
    return true;
  }

  void add(const Document& document) {
    ShardEntry& entry = indexed_.entry;
    ++entry.records;
    entry.text_bytes += document.text.size();
    entry.content += document.where.size;
    ids_.clear();
    if (options_.vocabulary != nullptr) {
      options_.vocabulary->encode(document.text, ids_);
      *entry.tokens += ids_.size();
    }
    if (is_held_out(document.text, options_.holdout)) {
      ++entry.held_out.documents;
      entry.held_out.tokens += ids_.size();
    }
    if (!options_.by.empty()) indexed_.by.add(document.fields.at(0), {1, document.text.size()});
  }

  void add(Reject reject) {
    ++indexed_.entry.rejects[name_of(reject.cause)];
    indexed_.entry.lost += reject.loss;
    if (indexed_.rejects.size() >= options_.named_rejects) return;
    reject.where.shard = indexed_.entry.path;
    indexed_.rejects.push_back(std::move(reject));
  }

  void add(const SeekPoint& point) {
    std::vector<SeekPoint>& points = indexed_.entry.seek_points;
    const SeekPoint last = points.empty() ? SeekPoint{} : points.back();
    const bool is_parquet = indexed_.entry.container == name_of(Container::parquet);
    if (is_parquet ? point.record > last.record : point.byte >= last.byte + kSeekPointSpacing) points.push_back(point);
  }

  /// Once is enough: the reader may have said it.
  void add_unreadable(const std::string& reason) {
    if (indexed_.entry.rejects.contains(name_of(RejectCause::unreadable))) return;
    Reject reject;
    reject.cause = RejectCause::unreadable;
    reject.reason = reason;
    reject.loss = {0, 0};
    add(std::move(reject));
  }

  std::string path_;
  const IndexOptions& options_;
  const BytesBehind& go_on_;
  IndexedShard indexed_;
  std::vector<TokenId> ids_;
  HashBeside hash_;
};

/// Adds up what the threads are through with.
class SharedProgress {
 public:
  SharedProgress(const JobCallbacks& watch, std::uint64_t all) : watch_(watch), all_(all) {}

  void add(std::uint64_t bytes) {
    const MutexLock lock(mutex_);
    behind_ += bytes;
    watch_.progress("indexing", behind_, all_, "bytes");
  }

 private:
  const JobCallbacks& watch_;
  const std::uint64_t all_;
  Mutex mutex_;
  std::uint64_t behind_ GUARDED_BY(mutex_) = 0;
};

bool made_alike(const DataManifest& earlier, const DataManifest& now) {
  return earlier.root == now.root && earlier.layout == now.layout && earlier.text_field == now.text_field &&
         earlier.vocabulary == now.vocabulary && earlier.holdout == now.holdout;
}

/// The earlier result for an unchanged shard; none if part of it is missing.
std::optional<IndexedShard> known(const ShardIndex& earlier, const fs::path& file) {
  const ShardEntry* entry = find_entry(earlier.manifest, file);
  if (entry == nullptr || !is_current(*entry, file)) return std::nullopt;
  IndexedShard shard{*entry, {}, {}};
  // Rejects stand in the order of their shards.
  const auto shard_of = [](const Reject& reject) { return reject.where.shard; };
  shard.rejects.assign(std::ranges::lower_bound(earlier.rejects, entry->path, natural_less, shard_of),
                       std::ranges::upper_bound(earlier.rejects, entry->path, natural_less, shard_of));
  if (shard.rejects.empty() && entry->rejected() > 0) return std::nullopt;
  if (entry->content == 0 && entry->text_bytes > 0) return std::nullopt;
  return shard;
}

}  // namespace

void FieldValues::Count::add(const Count& other) {
  documents += other.documents;
  text_bytes += other.text_bytes;
}

void FieldValues::add(const std::string& value, const Count& count) {
  const auto found = counts.find(value);
  if (found != counts.end()) {
    found->second.add(count);
  } else if (counts.size() < kMostValues) {
    counts.emplace(value, count);
  } else {
    others.add(count);
  }
}

void FieldValues::add(const FieldValues& values) {
  for (const auto& [value, count] : values.counts) add(value, count);
  others.add(values.others);
}

std::optional<IndexedShard> index_shard(const fs::path& root, const std::string& shard, const IndexOptions& options,
                                        const BytesBehind& go_on) {
  return ShardIndexer((root / shard).string(), shard, options, go_on).run();
}

ShardIndex build_index(const fs::path& root, const std::vector<std::string>& shards, const IndexOptions& options,
                       int threads, const ShardIndex* earlier, const JobCallbacks& watch) {
  ShardIndex index;
  index.manifest.root = root;
  index.manifest.layout = options.layout;
  index.manifest.text_field = options.text_field;
  index.manifest.holdout = options.holdout;
  if (options.vocabulary != nullptr) index.manifest.vocabulary = options.vocabulary->hash();

  std::vector<std::optional<IndexedShard>> indexed(shards.size());
  std::vector<std::uint64_t> bytes(shards.size());
  std::vector<std::size_t> to_read;
  const bool may_take_over = earlier != nullptr && options.by.empty() && made_alike(earlier->manifest, index.manifest);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (may_take_over) indexed[i] = known(*earlier, root / shards[i]);
    if (indexed[i]) {
      ++index.taken_over;
      continue;
    }
    bytes[i] = state_of(root / shards[i]).value_or(FileState{}).bytes;
    to_read.push_back(i);
  }
  // The longest work first, so that no thread is left with it at the end.
  std::ranges::stable_sort(to_read, [&](std::size_t a, std::size_t b) { return bytes[a] > bytes[b]; });

  SharedProgress progress(watch, std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}));
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto index_one = [&](std::size_t i) {
    std::uint64_t told = 0;
    const BytesBehind go_on = [&](std::uint64_t behind) {
      if (behind >= told + kProgressPiece && behind <= bytes[i]) {
        progress.add(behind - told);
        told = behind;
      }
      return !failed && !watch.interrupted();
    };
    indexed[i] = index_shard(root, shards[i], options, go_on);
    if (indexed[i]) progress.add(bytes[i] - told);
  };
  const auto work = [&](std::size_t) {
    try {
      for (std::size_t at = next++; at < to_read.size() && !failed && !watch.interrupted(); at = next++)
        index_one(to_read[at]);
    } catch (...) {
      failed = true;
      throw;
    }
  };
  const std::size_t workers = threads > 0 ? static_cast<std::size_t>(threads) : std::thread::hardware_concurrency();
  const oneapi::tbb::global_control as_many_as_asked(oneapi::tbb::global_control::max_allowed_parallelism, workers);
  oneapi::tbb::task_arena arena(static_cast<int>(workers));
  arena.execute([&] { oneapi::tbb::parallel_for(std::size_t{0}, workers, work); });

  for (std::optional<IndexedShard>& shard : indexed) {
    if (!shard) {
      index.manifest.complete = false;
      continue;
    }
    index.manifest.shards.push_back(std::move(shard->entry));
    std::ranges::move(shard->rejects, std::back_inserter(index.rejects));
    index.by.add(shard->by);
  }
  return index;
}

}  // namespace millrace
