#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/job.h"

namespace millrace {

/// Which values a field has in a corpus's documents. Values are numbers; documents without the field have one of their
/// own, and after FieldValues::kMostValues different ones all further ones have one together.
class DocumentValues {
 public:
  /// Reads all the corpus's shards once, on `threads` threads (0: all cores). `field`: as in RecordLayout::paths_of.
  /// Holds 4 bytes a record. Throws Interrupted, and what opening a shard throws.
  DocumentValues(const StreamConfig& config, const RunCorpus& corpus, const std::string& field, int threads,
                 const JobCallbacks& watch);

  /// `shard`: index in the corpus's shards; `record`: as RecordLocation::record. Throws DataError if there is no such
  /// document.
  std::uint32_t of(std::uint32_t shard, std::uint64_t record) const;

  /// Whether any document has the field.
  bool any() const { return any_; }

  /// The tokens of each value, by those of each shard: a shard's are divided as the text bytes of its documents that
  /// are not held out. Exact where a shard has one value.
  std::vector<double> tokens(const std::vector<double>& shard_tokens) const;

  /// Of one shard.
  struct InShard {
    std::vector<std::uint32_t> of_record;
    std::map<std::uint32_t, double> text_bytes;  ///< By value.
  };

 private:
  std::vector<std::string> names_;  ///< Of the shards.
  std::vector<InShard> shards_;
  std::uint32_t values_ = 0;
  bool any_ = false;
};

}  // namespace millrace
