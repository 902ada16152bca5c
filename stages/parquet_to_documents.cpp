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

/// Bytes stored in columns of the file are read as text: some writers do not mark their strings.
constexpr const char* kTyping = "binary_as_string = true";

/// More texts that are not UTF-8 than this in one row group, and what is left of it is given up.
constexpr int kMostBadTexts = 100;

class ParquetReader final : public RecordReader {
 public:
  ParquetReader(std::string path, ReadOptions options, std::uint64_t first_record)
      : path_(std::move(path)), options_(std::move(options)), row_(first_record) {
    try {
      read_footer();
      if (!fault_) resolve_columns();
    } catch (const DuckdbError& error) {
      refuse(RejectCause::damaged_footer, error);
      fault_->lost_bytes = InputFile(path_).size();
    }
    if (fault_) groups_.clear();
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
        recover(error);
      }
    }
  }

  std::uint64_t next_record() const override { return row_; }
  double share_read() const override {
    return rows_ == 0 ? 1 : std::min(1.0, static_cast<double>(row_) / static_cast<double>(rows_));
  }

  SeekPoint seek_point() const override {
    SeekPoint point;
    for (std::size_t group = std::min(group_, groups_.size() - 1); group < groups_.size(); ++group) {
      if (groups_[group].from > row_) break;
      point.record = groups_[group].from;
    }
    return point;
  }

 private:
  void read_footer() {
    DuckdbRows groups = session_.query(fmt::format(
        "SELECT CAST(any_value(row_group_num_rows) AS BIGINT), CAST(coalesce(sum(total_compressed_size) FILTER "
        "(path_in_schema = {}), 0) AS BIGINT) FROM parquet_metadata({}) GROUP BY row_group_id ORDER BY row_group_id",
        sql_string(options_.layout.text_field), sql_path(path_)));
    while (groups.next_chunk()) {
      for (std::size_t i = 0; i < groups.size(); ++i) {
        const auto rows = static_cast<std::uint64_t>(groups.number(0, i));
        groups_.push_back({rows_, rows_ + rows, static_cast<std::uint64_t>(groups.number(1, i))});
        rows_ += rows;
      }
    }
  }

  /// What the queries select, and on what condition.
  void resolve_columns() {
    names_ = names(fmt::format("SELECT * FROM {}", file()));
    const std::optional<std::string> text = column(options_.layout.text_field);
    const std::string type = text ? type_of(*text) : "";
    if (type != "VARCHAR") return miss(options_.layout.text_field, type, "text");
    selected_ = *text;
    for (const std::string& field : options_.fields) selected_ += ", " + first_value(field);
    for (const FieldRule& rule : options_.filter.keep) add_rule(rule, "");
    for (const FieldRule& rule : options_.filter.drop) add_rule(rule, "NOT ");
    if (!options_.filter.where.empty()) add_where(options_.filter.where);
  }

  std::string file() const { return fmt::format("read_parquet({}, {})", sql_path(path_), kTyping); }

  /// Names and types of a query's columns.
  std::vector<std::pair<std::string, std::string>> names(const std::string& query) {
    std::vector<std::pair<std::string, std::string>> found;
    DuckdbRows columns = session_.query(fmt::format("SELECT column_name, column_type FROM (DESCRIBE {})", query));
    while (columns.next_chunk()) {
      for (std::size_t i = 0; i < columns.size(); ++i) found.emplace_back(columns.text(0, i), columns.text(1, i));
    }
    return found;
  }

  std::string type_of(const std::string& expression) {
    return names(fmt::format("SELECT {} FROM {}", expression, file())).front().second;
  }

  /// `path` as SQL: a column of that very name, or a field of a struct; nothing if there is no such column.
  std::optional<std::string> column(const std::string& path) const {
    const auto known = [this](std::string_view name) {
      for (const auto& [column, type] : names_) {
        if (column == name) return true;
      }
      return false;
    };
    if (known(path)) return sql_name(path);
    std::size_t dot = path.find('.');
    if (dot == std::string::npos || !known(path.substr(0, dot))) return std::nullopt;
    std::string expression = sql_name(path.substr(0, dot));
    while (dot != std::string::npos) {
      const std::size_t next = path.find('.', dot + 1);
      expression = fmt::format("struct_extract({}, {})", expression,
                               sql_string(path.substr(dot + 1, next == std::string::npos ? next : next - dot - 1)));
      dot = next;
    }
    return expression;
  }

  std::vector<std::string> columns_of(const std::string& field) const {
    std::vector<std::string> found;
    for (const std::string& path : options_.layout.paths_of(field)) {
      if (std::optional<std::string> expression = column(path)) found.push_back(std::move(*expression));
    }
    return found;
  }

  /// The first value of a field as text, or NULL.
  std::string first_value(const std::string& field) {
    std::string values;
    for (const std::string& expression : columns_of(field)) {
      const bool list = type_of(expression).ends_with("[]");
      values += fmt::format(fmt::runtime(list ? "CAST({} AS VARCHAR[])[1], " : "CAST({} AS VARCHAR), "), expression);
    }
    return fmt::format("coalesce({}NULL, NULL::VARCHAR)", values);
  }

  void add_rule(const FieldRule& rule, const char* negation) {
    const std::vector<std::string> expressions = columns_of(rule.field);
    if (expressions.empty()) return miss(rule.field, "", "a column to filter by");
    std::string values;
    for (const std::string& value : rule.values) values += (values.empty() ? "" : ", ") + sql_string(value);
    std::string any;
    for (const std::string& expression : expressions) {
      const bool list = type_of(expression).ends_with("[]");
      any += any.empty() ? "" : " OR ";
      any += fmt::format(fmt::runtime(list ? "coalesce(list_has_any(CAST({} AS VARCHAR[]), [{}]), false)"
                                           : "coalesce(CAST({} AS VARCHAR) IN ({}), false)"),
                         expression, values);
    }
    condition_ += fmt::format(" AND {}({})", negation, any);
  }

  void add_where(const std::string& where) {
    const std::string condition = fmt::format(" AND ({}\n)", where);
    try {
      session_.query(fmt::format("SELECT 1 FROM {} WHERE true{} LIMIT 0", file(), condition));
    } catch (const DuckdbError& error) {
      if (error.out_of_memory || error.fatal) throw;
      throw ConfigError(fmt::format("{}: where = \"{}\": {}", path_, where, error.what()));
    }
    condition_ += condition;
  }

  void miss(const std::string& field, const std::string& type, const char* expected) {
    fault_ = reject_here(RejectCause::missing_column,
                         fmt::format("column \"{}\" {}, expected {}", field,
                                     type.empty() ? "is not there" : "is of type " + type, expected));
  }

  /// True if `record` is set; false if a query ended.
  bool step(Record& record) {
    const RowGroup& group = groups_[group_];
    row_ = std::max(row_, group.from);
    if (!rows_of_range_) begin_range(group);
    if (at_ == in_chunk_ && !exhausted_) {
      at_ = 0;
      exhausted_ = !rows_of_range_->next_chunk();
      in_chunk_ = exhausted_ ? 0 : rows_of_range_->size();
      if (exhausted_ && row_ < range_end_ && options_.filter.empty())
        throw DuckdbError("the row group ends early", false, false);
    }
    const std::uint64_t next_match =
        at_ < in_chunk_ ? static_cast<std::uint64_t>(rows_of_range_->number(0, at_)) : range_end_;
    if (row_ < next_match) {
      record = Filtered{where()};
      ++row_;
      return true;
    }
    if (exhausted_) {
      rows_of_range_.reset();
      if (range_end_ == group.to) end_group();
      return false;
    }
    record = row_to_record();
    ++row_;
    ++at_;
    return true;
  }

  void begin_range(const RowGroup& group) {
    range_end_ = std::min(range_end_ > row_ ? range_end_ : group.to, group.to);
    at_ = in_chunk_ = 0;
    exhausted_ = false;
    rows_of_range_.emplace(
        session_.query(fmt::format("SELECT file_row_number, {} FROM read_parquet({}, file_row_number = true, {}) WHERE "
                                   "file_row_number >= {} AND file_row_number < {}{}",
                                   selected_, sql_path(path_), kTyping, row_, range_end_, condition_)));
  }

  void end_group() {
    ++group_;
    range_end_ = 0;
    bad_texts_ = 0;
  }

  Record row_to_record() const {
    const std::string& field = options_.layout.text_field;
    if (rows_of_range_->is_null(1, at_)) {
      return reject_here(RejectCause::wrong_type, fmt::format("column \"{}\" is null, expected a string", field));
    }
    const std::string_view text = rows_of_range_->text(1, at_);
    if (text.empty()) return reject_here(RejectCause::empty_text, fmt::format("column \"{}\" is empty", field));
    if (text.size() > options_.max_record_bytes) {
      return reject_here(RejectCause::too_long,
                         fmt::format("the text has {} bytes, allowed are {}", text.size(), options_.max_record_bytes));
    }
    Document document{where(), std::string(text), {}};
    for (std::size_t i = 0; i < options_.fields.size(); ++i) {
      document.fields.emplace_back(rows_of_range_->is_null(2 + i, at_) ? "" : rows_of_range_->text(2 + i, at_));
    }
    return document;
  }

  Where where() const { return {path_, row_, 0, 0}; }

  Reject reject_here(RejectCause cause, std::string reason) const { return {where(), cause, std::move(reason), 0}; }

  /// A text that is not UTF-8 makes DuckDB refuse the whole query: the range is halved until that row stands alone.
  void recover(const DuckdbError& error) {
    rows_of_range_.reset();
    if (!error.invalid_text || bad_texts_ == kMostBadTexts) return lose_group(error);
    if (range_end_ - row_ > 1) {
      range_end_ = row_ + (range_end_ - row_) / 2;
      return;
    }
    ++bad_texts_;
    fault_ =
        reject_here(RejectCause::bad_utf8, fmt::format("column \"{}\" is not valid UTF-8", options_.layout.text_field));
    ++row_;
    if (row_ == groups_[group_].to) end_group();
  }

  void lose_group(const DuckdbError& error) {
    const RowGroup& group = groups_[group_];
    refuse(RejectCause::damaged_page, error);
    fault_->reason = fmt::format("row group {}, rows {} to {} are lost: {}", group_, row_, group.to - 1, error.what());
    fault_->lost_bytes = group.text_bytes;
    row_ = group.to;
    end_group();
  }

  void refuse(RejectCause cause, const DuckdbError& error) {
    if (error.out_of_memory) throw DataError(fmt::format("{}: DuckDB: {}", path_, error.what()));
    if (error.fatal) session_ = DuckdbSession();
    fault_ = reject_here(cause, error.what());
  }

  std::string path_;
  ReadOptions options_;
  DuckdbSession session_;
  std::vector<RowGroup> groups_;
  std::uint64_t rows_ = 0;
  std::vector<std::pair<std::string, std::string>> names_;
  std::string selected_;
  std::string condition_;

  std::uint64_t row_;
  std::size_t group_ = 0;
  std::uint64_t range_end_ = 0;  // Rows up to here are asked for at once; the group's end if it is not beyond row_.
  int bad_texts_ = 0;            // In this group.
  std::optional<DuckdbRows> rows_of_range_;  // Behind session_: it ends first.
  std::size_t at_ = 0;
  std::size_t in_chunk_ = 0;
  bool exhausted_ = false;
  std::optional<Reject> fault_;
};

}  // namespace

std::unique_ptr<RecordReader> open_parquet(const std::string& path, const ReadOptions& options,
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
