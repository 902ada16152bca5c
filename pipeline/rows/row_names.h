#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// The names behind the numbers in rows and ledgers.
struct RowNames {
  std::vector<std::string> corpora;
  std::vector<std::vector<std::string>> shards;     ///< Of each corpus.
  std::vector<std::vector<std::string>> denoisers;  ///< Of each phase.
};

/// `corpora`: of the run, with their shards.
RowNames row_names(const StreamConfig& config, const std::vector<RunCorpus>& corpora);

/// Where a row came from, a list of its examples in their order: {"example", "phase", "corpus", "denoiser",
/// "documents": [{"shard", "record", "epoch", "from", "to"}], "raw_tokens", "loss_tokens", "trimmed_tokens", "first",
/// "inputs", "targets"}, as ExampleOrigin says.
nlohmann::ordered_json named_examples(const StreamRow& row, const RowNames& names);

/// A ledger as JSON says it, with the names of corpora and denoisers instead of their numbers, and its sums.
nlohmann::ordered_json named_ledger(const Ledger& ledger, const RowNames& names);

}  // namespace millrace
