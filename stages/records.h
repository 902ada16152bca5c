#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace millrace {

/// The types that data passes through, in order: shard -> record -> document -> tokens -> segment -> example -> row.

using TokenId = std::int32_t;

/// A record's location in a shard, carried with the data so that every error and example can name its origin.
struct RecordLocation {
  std::string shard;         ///< Path as the user would name it.
  std::uint64_t record = 0;  ///< 0-based among non-blank lines (bad ones count), or the Parquet row.
  std::uint64_t line = 0;    ///< 1-based line after decompression; 0 in containers without lines.
  std::uint64_t byte = 0;    ///< Offset of the line after decompression; 0 in containers without lines.
  std::uint64_t size = 0;    ///< Bytes of the record after decompression, its line's ending included; in Parquet of its
                             ///< text, or, where that is not read, the average of its row group's records.
};

/// Why a record, or a part of a container, could not be read. The names are those of index, summaries and
/// rejects.jsonl.
enum class RejectCause : std::uint8_t {
  bad_json,
  bad_utf8,
  not_object,
  missing_field,
  wrong_type,
  empty_text,
  too_long,
  truncated,
  damaged_frame,
  trailing_garbage,
  damaged_footer,
  damaged_page,
  missing_column,
  unreadable,
};
inline constexpr int kRejectCauses = 14;
const char* name_of(RejectCause cause);

/// How much data is lost because it could not be read.
struct Loss {
  std::uint64_t records = 1;  ///< As far as known: 1 for a record, the rows of a Parquet row group, for a damaged frame
                              ///< only the line that it cuts.
  std::uint64_t bytes = 0;    ///< After decompression, as RecordLocation::size counts; estimated if not recorded.

  Loss& operator+=(const Loss& other);  ///< Sums saturate at 2^64 - 1.
  bool operator==(const Loss&) const = default;
};

/// Something that was not read: counted by cause, written to rejects.jsonl, never silent.
struct Reject {
  RecordLocation where;
  RejectCause cause = RejectCause::bad_json;
  std::string reason;            ///< What was found and what was expected, as a message.
  std::uint64_t lost_bytes = 0;  ///< Bytes of the container that could not be read, where that is known.
  Loss loss = {};                ///< Counts against max_bad_fraction.
};

/// The reject of one record: its loss is that record and its bytes.
Reject rejected_record(RecordLocation where, RejectCause cause, std::string reason);

/// One document of a shard: its text and location.
struct Document {
  RecordLocation where;
  std::string text;                 ///< Valid UTF-8, not empty.
  std::vector<std::string> fields;  ///< Values of ReadOptions::fields, in that order; empty where there is none.
};

/// A valid record that its corpus's filter leaves out. It still counts in record numbers.
struct Filtered {
  RecordLocation where;
};

/// One record of a shard: a document, or why there is none.
using Record = std::variant<Document, Reject, Filtered>;

/// A point from which a shard can be read without reading what is before it: the beginning of a line, and the zstd
/// frame or gzip member to decode it from. In a plain file both are the same; in Parquet only `record` counts.
struct SeekPoint {
  std::uint64_t offset = 0;   ///< In the file: the frame's first byte.
  std::uint64_t content = 0;  ///< Offset after decompression of the frame's first byte of content.
  std::uint64_t byte = 0;     ///< Offset after decompression of the line; not less than `content`.
  std::uint64_t line = 1;     ///< As RecordLocation::line.
  std::uint64_t record = 0;   ///< As RecordLocation::record, of the first record at or after the line.
  std::uint64_t lost = 0;     ///< Bytes of the file before `offset` whose content could not be read.

  bool operator==(const SeekPoint&) const = default;
};

/// Part of a document inside a segment: tokens [from, to) of the document's ids.
struct DocumentSpan {
  std::uint32_t shard = 0;   ///< Index in the corpus's natural order of shards.
  std::uint64_t record = 0;  ///< As RecordLocation::record.
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t at = 0;     ///< Where in the segment's tokens it begins.
  std::uint64_t epoch = 0;  ///< The epoch of its corpus.

  bool operator==(const DocumentSpan&) const = default;
};

/// A run of raw tokens of one corpus, cut for one example.
struct Segment {
  std::vector<TokenId> tokens;          ///< Documents' ids, with a separator where the objective asks for one.
  std::vector<DocumentSpan> documents;  ///< In order; separators belong to no document.
  std::uint64_t raw_tokens = 0;         ///< Ids of documents, separators not counted.
};

/// A segment after its denoiser: what the model reads (inputs) and must predict (targets). Inputs begin with the
/// denoiser's prompt; both end in eos, except that a causal example has no inputs.
struct Example {
  std::vector<TokenId> inputs;
  std::vector<TokenId> targets;
  std::vector<std::uint32_t> document_starts;  ///< Causal: where in the targets a document begins after another.
  std::uint64_t trimmed = 0;                   ///< Tokens of the segment that did not fit.
};

/// One training sequence of T positions, ready for the model.
struct Row {
  std::vector<TokenId> tokens;            ///< (T) What the model reads.
  std::vector<TokenId> labels;            ///< (T) What it should predict at each position.
  std::vector<float> loss_weights;        ///< (T) 1 where the loss counts, else 0.
  std::vector<std::int32_t> segment_ids;  ///< (T) 1, 2, ...: attention stays within a segment; 0 on padding.
  std::vector<std::int32_t> positions;    ///< (T) Position ids for RoPE.
};

}  // namespace millrace
