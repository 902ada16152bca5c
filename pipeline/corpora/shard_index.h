#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/data_manifest.h"
#include "pipeline/job.h"
#include "stages/records.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// How shards are indexed.
struct IndexOptions {
  std::string layout;                      ///< A layout's name; empty: detected from each shard's content.
  std::string text_field;                  ///< Overrides the layout's text field; empty: the layout's.
  const Vocabulary* vocabulary = nullptr;  ///< Counts tokens. Must outlive the work.
  double holdout = 0;                      ///< Counts the documents that a run with this holdout does not train on.
  std::string by;                          ///< A field whose values are counted; empty: none.
  std::size_t named_rejects = 100'000;     ///< Of a shard; further ones are only counted. Bounds memory.
};

/// Documents per value of a field.
struct FieldValues {
  struct Count {
    std::uint64_t documents = 0;
    std::uint64_t text_bytes = 0;

    void add(const Count& other);
    bool operator==(const Count&) const = default;
  };
  std::map<std::string, Count> counts;  ///< "" counts the documents without the field. At most kMostValues.
  Count others;                         ///< Documents with further values.

  static constexpr std::size_t kMostValues = 100'000;
  void add(const std::string& value, const Count& count);
  void add(const FieldValues& values);
};

/// What indexing one shard gives.
struct IndexedShard {
  ShardEntry entry;
  std::vector<Reject> rejects;  ///< In the shard's order; they name the shard as the entry does.
  FieldValues by;
};

/// Called with the bytes of a shard's file read so far; returns false to cancel.
using BytesBehind = std::function<bool(std::uint64_t bytes)>;

/// Reads a shard from its first record to its last, and hashes its bytes. Never throws for what is wrong with the
/// shard: one that cannot be opened, or that vanishes or changes while it is read, has an `unreadable` reject.
/// Any thread. Empty if cancelled by `go_on`.
std::optional<IndexedShard> index_shard(const std::filesystem::path& root, const std::string& shard,
                                        const IndexOptions& options, const BytesBehind& go_on);

/// A manifest and what is not in it.
struct ShardIndex {
  DataManifest manifest;
  std::vector<Reject> rejects;  ///< Shards in the manifest's order.
  FieldValues by;
  std::size_t taken_over = 0;  ///< Shards whose entries were taken from an earlier index.
};

/// Indexes shards, given in natural order relative to `root`, on `threads` threads (0: all cores), the largest first.
/// The result does not depend on `threads`. Entries of `earlier` are reused for shards of unchanged size and time if it
/// was made with the same options; never with `by`. If interrupted, returns what is done, with manifest.complete false.
ShardIndex build_index(const std::filesystem::path& root, const std::vector<std::string>& shards,
                       const IndexOptions& options, int threads, const ShardIndex* earlier, const JobCallbacks& watch);

}  // namespace millrace
