#include "pipeline/plan/available_tokens.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include <oneapi/tbb/parallel_for.h>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/corpora/loss_judge.h"
#include "stages/record_reader.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

constexpr double kMostShards = 8;
constexpr double kEncodedBytes = 1 << 20;      ///< Of text, in all shards.
constexpr double kPrefixTextBytes = 16 << 20;  ///< Of one shard.
constexpr double kChunks = 16;                 ///< About, of one shard.

/// A stretch of a shard: what it holds, and how many bytes of the file it took.
struct Stretch {
  double tokens = 0;
  double bytes = 0;
};

/// Two-sided 95 % quantile of Student's t.
double student_t(std::size_t degrees) {
  static constexpr std::array<double, 10> kSmall{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23};
  return degrees <= kSmall.size() ? kSmall[degrees - 1] : 1.96 + 2.6 / static_cast<double>(degrees);
}

double tokens_per_byte(const std::vector<Stretch>& sample) {
  double tokens = 0, bytes = 0;
  for (const Stretch& stretch : sample) {
    tokens += stretch.tokens;
    bytes += stretch.bytes;
  }
  return bytes > 0 ? tokens / bytes : 0;
}

/// Half the confidence interval of the ratio tokens_per_byte, as a part of it (the ratio estimator's usual variance).
double ratio_error(const std::vector<Stretch>& sample) {
  const double ratio = tokens_per_byte(sample);
  if (sample.size() < 2 || ratio == 0) return 1;
  double squares = 0, bytes = 0;
  for (const Stretch& stretch : sample) {
    squares += std::pow(stretch.tokens - ratio * stretch.bytes, 2);
    bytes += stretch.bytes;
  }
  const auto n = static_cast<double>(sample.size());
  const double deviation = std::sqrt(squares / (n - 1) / n) / (bytes / n);
  return student_t(sample.size() - 1) * deviation / ratio;
}

void note_layout(AvailableTokens& tokens, const std::string& layout) {
  if (std::ranges::find(tokens.layouts, layout) == tokens.layouts.end()) tokens.layouts.push_back(layout);
}

/// Whether an entry's documents are those that the corpus would read.
bool read_alike(const DataManifest& manifest, const ShardEntry& entry, const Corpus& corpus) {
  if (!corpus.text_field.empty()) return manifest.text_field == corpus.text_field;
  if (!manifest.text_field.empty()) return false;
  if (corpus.layout.empty()) return manifest.layout.empty();
  const RecordLayout wanted = layout_named(corpus.layout);
  const RecordLayout read = layout_named(entry.layout);
  return wanted.text_field == read.text_field && wanted.is_text() == read.is_text();
}

/// The entries of the corpus's shards, where the manifest counts them all as the corpus reads them.
std::optional<std::vector<const ShardEntry*>> counted_entries(const StreamConfig& config, const RunCorpus& corpus,
                                                              const Vocabulary& vocabulary,
                                                              const DataManifest& manifest) {
  if (manifest.vocabulary != vocabulary.hash() || why_not_countable(config, corpus) != nullptr) return std::nullopt;
  if (config.holdout > 0 && manifest.holdout != config.holdout) return std::nullopt;
  std::vector<const ShardEntry*> entries;
  for (const std::string& shard : corpus.shards) {
    const std::string path = shard_path(config, shard);
    const ShardEntry* entry = find_entry(manifest, path);
    if (entry == nullptr || !is_current(*entry, path) || !read_alike(manifest, *entry, corpus.corpus) || !entry->tokens)
      return std::nullopt;
    entries.push_back(entry);
  }
  return entries;
}

/// Of an epoch of training.
std::uint64_t tokens_of(const StreamConfig& config, const ShardEntry& entry) {
  return *entry.tokens - (config.holdout > 0 ? entry.held_out.tokens : 0);
}

std::optional<AvailableTokens> counted(const StreamConfig& config, const RunCorpus& corpus,
                                       const Vocabulary& vocabulary, const DataManifest& manifest) {
  const auto entries = counted_entries(config, corpus, vocabulary, manifest);
  if (!entries) return std::nullopt;
  AvailableTokens result;
  result.from_manifest = true;
  std::uint64_t tokens = 0, documents = 0;
  for (const ShardEntry* entry : *entries) {
    note_layout(result, entry->layout);
    tokens += tokens_of(config, *entry);
    documents += entry->records - (config.holdout > 0 ? entry->held_out.documents : 0);
  }
  result.tokens = static_cast<double>(tokens);
  if (documents > 0) result.document_size = static_cast<double>(tokens) / static_cast<double>(documents);
  return result;
}

/// Shards of one compression: only among those is a file byte worth the same.
struct Stratum {
  std::vector<std::string> paths;
  double bytes = 0;
};

std::vector<Stratum> strata_of(const StreamConfig& config, const RunCorpus& corpus) {
  std::map<std::string, Stratum> by_extension;
  for (const std::string& shard : corpus.shards) {
    const std::filesystem::path path = shard_path(config, shard);
    Stratum& stratum = by_extension[path.extension().string()];
    stratum.paths.push_back(path.string());
    stratum.bytes += static_cast<double>(std::filesystem::file_size(path));
  }
  std::vector<Stratum> strata;
  for (auto& [extension, stratum] : by_extension) strata.push_back(std::move(stratum));
  return strata;
}

class Sample {
 public:
  Sample(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary)
      : config_(config), corpus_(corpus), vocabulary_(vocabulary), most_tokens_(max_document_tokens_of(config)) {}

  AvailableTokens estimate() {
    const std::vector<Stratum> strata = strata_of(config_, corpus_);
    double all_bytes = 0;
    for (const Stratum& stratum : strata) all_bytes += stratum.bytes;
    double variance = 0;
    for (const Stratum& stratum : strata) {
      const double part = all_bytes > 0 ? stratum.bytes / all_bytes : 1;
      const auto wanted = static_cast<std::size_t>(std::lround(part * kMostShards));
      variance += std::pow(add_stratum(stratum, std::clamp<std::size_t>(wanted, 1, stratum.paths.size()), part), 2);
    }
    if (result_.tokens > 0) result_.error = std::sqrt(variance) / result_.tokens;
    if (result_.tokens == 0 && !read_all_) result_.error = 1;  // The sample cannot prove that there are none.
    if (documents_ > 0) result_.document_size = document_tokens_ / documents_;
    return std::move(result_);
  }

 private:
  /// Looks at so many of its shards, evenly spread. Returns the error in tokens.
  double add_stratum(const Stratum& stratum, std::size_t shards, double part_of_corpus) {
    std::vector<Stretch> whole, chunks;
    double tokens = 0;
    bool read_all = shards == stratum.paths.size();
    const double wanted = kEncodedBytes * part_of_corpus / static_cast<double>(shards);
    for (std::size_t i = 0; i < shards; ++i) {
      const std::string& path = stratum.paths[(2 * i + 1) * stratum.paths.size() / (2 * shards)];
      whole.push_back(read_beginning(path, wanted, chunks, read_all));
      tokens += whole.back().tokens;
    }
    read_all_ = read_all_ && read_all;
    if (read_all || tokens == 0) {
      result_.tokens += tokens;
      return 0;
    }
    const double estimate = tokens_per_byte(whole) * stratum.bytes;
    result_.tokens += estimate;
    // Chunks of one shard are alike: where several shards were read, what differs between them counts as well.
    const double error = std::max(ratio_error(chunks), whole.size() > 2 ? ratio_error(whole) : 0);
    return estimate * error;
  }

  /// Reads up to kPrefixTextBytes of text, and encodes about `wanted` bytes of it, evenly spread. `all` becomes false
  /// if that is not the whole shard.
  Stretch read_beginning(const std::string& path, double wanted, std::vector<Stretch>& chunks, bool& all) {
    const auto file_bytes = static_cast<double>(std::filesystem::file_size(path));
    const ReadOptions options = reader_options(config_, corpus_.corpus, path);
    note_layout(result_, options.layout.name);
    const std::unique_ptr<RecordReader> reader = open_shard(path, options);
    const bool is_allowed = std::ranges::any_of(corpus_.shards, [&](const std::string& shard) {
      return may_be_unreadable(config_, shard) && shard_path(config_, shard) == path;
    });
    Stretch shard, chunk;
    double text_bytes = 0, encoded_bytes = 0, tokens = 0;
    double chunk_text = 0, chunk_encoded = 0;
    const auto end_chunk = [&](double read) {
      if (chunk_encoded > 0) chunk.tokens *= chunk_text / chunk_encoded;
      if (chunk_encoded == 0 && encoded_bytes > 0) chunk.tokens = chunk_text * tokens / encoded_bytes;
      chunk.bytes = read * file_bytes - shard.bytes;
      shard.bytes += chunk.bytes;
      shard.tokens += chunk.tokens;
      if (chunk.bytes > 0) chunks.push_back(chunk);
      chunk = {};
      chunk_text = chunk_encoded = 0;
    };
    const auto progress = [&] { return std::max(text_bytes / kPrefixTextBytes, reader->share_read()); };
    double chunk_ends = 1 / kChunks;
    bool at_end = false;
    for (Record record; text_bytes < kPrefixTextBytes;) {
      const bool encode = encoded_bytes <= wanted * progress();
      at_end = !reader->next(record);
      if (at_end) break;
      if (!is_allowed) expect_readable(record);
      const auto* document = std::get_if<Document>(&record);
      if (document == nullptr || is_held_out(document->text, config_.holdout)) continue;
      const auto size = static_cast<double>(document->text.size());
      text_bytes += size;
      chunk_text += size;
      if (encode) {
        ids_.clear();
        vocabulary_.encode(document->text, ids_);
        const double count = kept_tokens();
        encoded_bytes += size;
        chunk_encoded += size;
        chunk.tokens += count;
        tokens += count;
        document_tokens_ += count;
        ++documents_;
      }
      if (progress() < chunk_ends || chunk_encoded == 0) continue;
      end_chunk(reader->share_read());
      chunk_ends = progress() + 1 / kChunks;
    }
    end_chunk(at_end ? 1 : reader->share_read());
    all = all && at_end && encoded_bytes == text_bytes;
    return shard;
  }

  /// Of the document in ids_, what an epoch takes on average: of a long one it takes one chunk.
  double kept_tokens() const {
    const auto all = static_cast<double>(ids_.size());
    if (most_tokens_ == 0 || ids_.size() <= most_tokens_) return all;
    return all / std::ceil(all / static_cast<double>(most_tokens_));
  }

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  const Vocabulary& vocabulary_;
  const std::uint64_t most_tokens_;
  AvailableTokens result_;
  bool read_all_ = true;
  double documents_ = 0;
  double document_tokens_ = 0;
  std::vector<TokenId> ids_;
};

}  // namespace

const char* why_not_countable(const StreamConfig& config, const RunCorpus& corpus) {
  if (!corpus.corpus.filter.empty()) return "an index knows nothing of keep, drop and where";
  if (max_document_tokens_of(config) > 0) return "an index knows nothing of max_document_tokens";
  if (config.max_record_bytes != StreamConfig{}.max_record_bytes) return "an index has its own max_record_bytes";
  return nullptr;
}

std::optional<std::vector<double>> counted_shard_tokens(const StreamConfig& config, const RunCorpus& corpus,
                                                        const Vocabulary& vocabulary, const DataManifest& manifest) {
  const auto entries = counted_entries(config, corpus, vocabulary, manifest);
  if (!entries) return std::nullopt;
  std::vector<double> tokens;
  for (const ShardEntry* entry : *entries) tokens.push_back(static_cast<double>(tokens_of(config, *entry)));
  return tokens;
}

std::vector<AvailableTokens> available_tokens(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                              const Vocabulary& vocabulary, const DataManifest* manifest) {
  std::vector<AvailableTokens> all(corpora.size());
  oneapi::tbb::parallel_for(std::size_t{0}, corpora.size(), [&](std::size_t i) {
    std::optional<AvailableTokens> count;
    if (manifest != nullptr) count = counted(config, corpora[i], vocabulary, *manifest);
    all[i] = count ? std::move(*count) : Sample(config, corpora[i], vocabulary).estimate();
  });
  return all;
}

}  // namespace millrace
