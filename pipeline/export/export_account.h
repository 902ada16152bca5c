#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"

namespace millrace {

class JsonValue;

/// What became of a corpus's records. Every record that was read is in exactly one count:
/// read = documents + held out + filtered + skipped + rejected + tail_documents.
struct CorpusAccount {
  std::string corpus;
  RecordCounts records;
  std::uint64_t documents = 0;       ///< Written; of rows, begun in one.
  std::uint64_t raw_tokens = 0;      ///< Written ids of documents, without eos.
  std::uint64_t tail_documents = 0;  ///< Of rows: at max_epochs, too few tokens were left for an example.
  std::uint64_t tail_tokens = 0;
  std::optional<std::uint64_t> budget;       ///< Raw tokens that were asked for.
  std::optional<std::uint64_t> not_reached;  ///< Records of its shards that were not read; none: not counted.
};

void to_json(nlohmann::ordered_json& json, const CorpusAccount& account);
void from_json(const JsonValue& json, CorpusAccount& account);

/// The account of a corpus's rows: what was read of it is the stream's count, what stands in rows is the ledger's.
CorpusAccount account_of_rows(const CorpusPosition& position, const Ledger& ledger, std::uint32_t corpus);

/// Throws std::logic_error with the figures if a record is in no count, or in two.
void check_account(const CorpusAccount& account);

/// How many records a corpus's shards hold beside the `read` ones, as the data directory's manifest knows; none where
/// it has no entry that holds.
std::optional<std::uint64_t> records_not_reached(const StreamConfig& config, const RunCorpus& corpus,
                                                 std::uint64_t read);

}  // namespace millrace
