#include "stages/parquet_to_documents.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stages/duckdb_session.h"
#include "stages/errors.h"
#include "stages/input_file.h"

namespace millrace {
namespace {

struct RowGroup {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t text_bytes = 0;  // Of the text column, as stored.
};

class ParquetReader final : public RecordReader {
 public:
  ParquetReader(std::string path, Options options, std::uint64_t first_record)
      : path_(std::move(path)), options_(std::move(options)), row_(first_record) {
    try {
      read_footer();
    } catch (const DuckdbError& error) {
      groups_.clear();
      refuse(RejectCause::damaged_footer, error);
      fault_->lost_bytes = InputFile(path_).size();
    }
    while (group_ < groups_.size() && groups_[group_].to <= row_) ++group_;
    if (!fault_ && group_ == groups_.size()) row_ = rows_;
  }

  bool next(Record& record) override {
    for (;;) {
      if (fault_) {
        record = std::move(*fault_);
        fault_.reset();
        return true;
      }
      if (group_ == groups_.size()) return false;
      try {
        if (step(record)) return true;
      } catch (const DuckdbError& error) {
        lose_group(error);
      }
    }
  }

  std::uint64_t next_record() const override { return row_; }

 private:
  void read_footer() {
    const std::string path = sql_path(path_);
    std::string type;
    DuckdbRows columns = session_.query(fmt::format(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet({}, {}))", path, kTyping));
    while (columns.next_chunk()) {
      for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns.text(0, i) == options_.layout.text_field) type = columns.text(1, i);
      }
    }
    DuckdbRows groups = session_.query(fmt::format(
        "SELECT CAST(any_value(row_group_num_rows) AS BIGINT), CAST(coalesce(sum(total_compressed_size) FILTER "
        "(path_in_schema = {}), 0) AS BIGINT) FROM parquet_metadata({}) GROUP BY row_group_id ORDER BY row_group_id",
        sql_string(options_.layout.text_field), path));
    while (groups.next_chunk()) {
      for (std::size_t i = 0; i < groups.size(); ++i) {
        const auto rows = static_cast<std::uint64_t>(groups.number(0, i));
        groups_.push_back({rows_, rows_ + rows, static_cast<std::uint64_t>(groups.number(1, i))});
        rows_ += rows;
      }
    }
    if (type == "VARCHAR") return;
    groups_.clear();
    const std::string found = type.empty() ? "is not there" : "is of type " + type;
    fault_ = reject_here(RejectCause::missing_column,
                         fmt::format("column \"{}\" {}, expected text", options_.layout.text_field, found));
  }

  /// True if `record` is set; false if a group ended.
  bool step(Record& record) {
    const RowGroup& group = groups_[group_];
    if (!rows_of_group_) {
      rows_of_group_.emplace(session_.query(fmt::format(
          "SELECT file_row_number, {} FROM read_parquet({}, file_row_number = true, {}) WHERE file_row_number >= {} "
          "AND "
          "file_row_number < {}",
          sql_name(options_.layout.text_field), sql_path(path_), kTyping, std::max(row_, group.from), group.to)));
      row_ = std::max(row_, group.from);
      at_ = in_chunk_ = 0;
    }
    if (at_ == in_chunk_) {
      at_ = in_chunk_ = 0;
      if (!rows_of_group_->next_chunk()) {
        if (row_ < group.to) throw DuckdbError("the row group ends early", false, false);
        rows_of_group_.reset();
        ++group_;
        return false;
      }
      in_chunk_ = rows_of_group_->size();
    }
    row_ = static_cast<std::uint64_t>(rows_of_group_->number(0, at_));
    record = row_to_record();
    ++row_;
    ++at_;
    return true;
  }

  Record row_to_record() const {
    const std::string& field = options_.layout.text_field;
    if (rows_of_group_->is_null(1, at_)) {
      return reject_here(RejectCause::wrong_type, fmt::format("column \"{}\" is null, expected a string", field));
    }
    const std::string_view text = rows_of_group_->text(1, at_);
    if (text.empty()) return reject_here(RejectCause::empty_text, fmt::format("column \"{}\" is empty", field));
    if (text.size() > options_.max_record_bytes) {
      return reject_here(RejectCause::too_long,
                         fmt::format("the text has {} bytes, allowed are {}", text.size(), options_.max_record_bytes));
    }
    Document document;
    document.where.shard = path_;
    document.where.record = row_;
    document.text = text;
    return document;
  }

  Reject reject_here(RejectCause cause, std::string reason) const {
    Reject reject;
    reject.where.shard = path_;
    reject.where.record = row_;
    reject.cause = cause;
    reject.reason = std::move(reason);
    return reject;
  }

  void lose_group(const DuckdbError& error) {
    const RowGroup& group = groups_[group_];
    rows_of_group_.reset();
    row_ = std::max(row_, group.from);
    refuse(RejectCause::damaged_page, error);
    fault_->reason = fmt::format("row group {}, rows {} to {} are lost: {}", group_, row_, group.to - 1, error.what());
    fault_->lost_bytes = group.text_bytes;
    row_ = group.to;
    ++group_;
  }

  void refuse(RejectCause cause, const DuckdbError& error) {
    if (error.out_of_memory) throw DataError(fmt::format("{}: DuckDB: {}", path_, error.what()));
    if (error.fatal) session_ = DuckdbSession();
    fault_ = reject_here(cause, error.what());
  }

  static constexpr const char* kTyping = "binary_as_string = true";

  std::string path_;
  Options options_;
  DuckdbSession session_;
  std::vector<RowGroup> groups_;
  std::uint64_t rows_ = 0;
  std::uint64_t row_;
  std::size_t group_ = 0;
  std::optional<DuckdbRows> rows_of_group_;  // Behind session_: it ends first.
  std::size_t at_ = 0;
  std::size_t in_chunk_ = 0;
  std::optional<Reject> fault_;
};

}  // namespace

std::unique_ptr<RecordReader> open_parquet(const std::string& path, const RecordReader::Options& options,
                                           std::uint64_t first_record) {
  return std::make_unique<ParquetReader>(path, options, first_record);
}

std::vector<std::string> parquet_columns(const std::string& path) {
  std::vector<std::string> names;
  DuckdbSession session;
  try {
    DuckdbRows rows =
        session.query(fmt::format("SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet({}))", sql_path(path)));
    while (rows.next_chunk()) {
      for (std::size_t i = 0; i < rows.size(); ++i) names.emplace_back(rows.text(0, i));
    }
  } catch (const DuckdbError&) {
    names.clear();
  }
  return names;
}

}  // namespace millrace
