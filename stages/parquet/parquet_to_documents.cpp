#include "stages/parquet/parquet_to_documents.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "stages/compression/frame_tally.h"
#include "stages/errors.h"
#include "stages/io/input_file.h"
#include "stages/parquet/parquet_copy.h"
#include "stages/parquet/parquet_footer.h"
#include "stages/parquet/parquet_query.h"
#include "stages/parquet/sql_file.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

using Kind = DuckdbType::Kind;

std::vector<std::string> names_of(const ParquetFooter& footer) {
  std::vector<std::string> names;
  for (std::size_t column = 0; column < footer.columns.size(); ++column) names.push_back(footer.name(column));
  return names;
}

/// DuckDB renames fields of a struct whose names differ only in case: restores the original names. Returns the node
/// after `node` and its descendants.
std::size_t give_names(DuckdbType& type, const std::vector<ParquetNode>& nodes, std::size_t node) {
  std::vector<std::size_t> children;
  std::size_t next = node + 1;
  DuckdbType ignored;
  for (std::uint64_t i = 0; i < nodes[node].children; ++i) {
    children.push_back(next);
    next = give_names(ignored, nodes, next);
  }
  if (type.kind == Kind::structure && type.parts.size() == children.size()) {
    for (std::size_t i = 0; i < children.size(); ++i) {
      type.parts[i].first = nodes[children[i]].name;
      give_names(type.parts[i].second, nodes, children[i]);
    }
  } else if (type.kind == Kind::list && children.size() == 1) {
    // A list is a group with repeated elements, or a repeated group with one element each.
    const bool is_wrapped = nodes[children[0]].children == 1 && nodes[children[0]].name != "array" &&
                            !nodes[children[0]].name.ends_with("_tuple");
    give_names(type.parts[0].second, nodes, is_wrapped ? children[0] + 1 : children[0]);
  }
  return next;
}

class ParquetReader final : public RecordReader {
 public:
  ParquetReader(const std::string& path, const ReadOptions& options, std::uint64_t first_record)
      : path_(path), options_(options), file_(path), name_(path), row_(first_record) {
    try {
      forget_names();
      footer_ = read_parquet_footer(file_);
      open();
    } catch (const ParquetFooterError& error) {
      footer_ = {};
      fault_ = Reject{
          {path_, row_}, RejectCause::damaged_footer, error.what(), file_.size(), {0, file_.size() * kUnknownRatio}};
    }
    if (row_ > footer_.rows) row_ = footer_.rows;
    go_to_group();
  }

  bool next(Record& record) override {
    for (;;) {
      if (fault_) {
        record = std::move(*fault_);
        fault_.reset();
        return true;
      }
      if (group_ == footer_.groups.size()) return false;
      try {
        if (step(record)) return true;
      } catch (const DuckdbError& error) {
        recover(error);
      }
    }
  }

  std::uint64_t next_record() const override { return row_; }
  double share_read() const override {
    return footer_.rows == 0 ? 1 : static_cast<double>(row_) / static_cast<double>(footer_.rows);
  }

  std::uint64_t file_bytes_read() const override {
    if (footer_.rows == 0) return file_.size();
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Wide>(file_.size()) * row_ / footer_.rows);
  }

  SeekPoint seek_point() const override {
    SeekPoint point;
    for (const ParquetRowGroup& group : footer_.groups) {
      if (group.from > row_) break;
      point.record = group.from;
    }
    return point;
  }

 private:
  void open_session() {
    session_ = DuckdbSession();
    forget_names();
  }

  void forget_names() {
    if (name_.is_passing()) session_.query("SET SESSION parquet_metadata_cache = false");
  }

  /// Throws ParquetFooterError if DuckDB cannot read the file.
  void open() {
    try {
      query_.emplace(names_of(footer_), options_);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("{}: where = \"{}\": {}", path_, options_.filter.where, error.what()));
    }
    try {
      declared_ = session_.query(fmt::format("SELECT * FROM {} LIMIT 0", file())).types();
    } catch (const DuckdbError& error) {
      refuse_out_of_memory(error);
      throw ParquetFooterError(error.what());
    }
    if (declared_.size() != footer_.columns.size())
      throw ParquetFooterError(
          fmt::format("DuckDB sees {} columns, the schema has {}", declared_.size(), footer_.columns.size()));
    for (std::size_t i = 0; i < declared_.size(); ++i) give_names(declared_[i], footer_.nodes, footer_.columns[i].node);
    text_kind_ = query_->text_kind(declared_);
    if (!options_.filter.where.empty()) try_condition();
  }

  void try_condition() {
    try {
      session_.query(fmt::format("SELECT {} FROM {} LIMIT 0", query_->select(declared_, declared_), file()));
    } catch (const DuckdbError& error) {
      refuse_out_of_memory(error);
      throw ConfigError(fmt::format("{}: where = \"{}\": {}", path_, options_.filter.where, error.what()));
    }
  }

  /// The file as a table whose columns are named by number. No columns are derived from its path or name.
  std::string file() const {
    std::string names;
    for (std::size_t i = 0; i < footer_.columns.size(); ++i) names += (i == 0 ? "" : ", ") + ParquetQuery::name_of(i);
    return table(name_.literal(), true, names);
  }

  std::string copy() const {
    std::string names;
    for (const std::size_t column : query_->columns())
      names += (names.empty() ? "" : ", ") + ParquetQuery::name_of(column);
    return table(sql_string(copy_->path()), false, names);
  }

  /// Some writers do not mark texts as such: bytes are read as text, except in a copy, where UTF-8 is not checked.
  static std::string table(const std::string& path, bool bytes_are_text, const std::string& names) {
    return fmt::format("read_parquet({}, hive_partitioning = false, binary_as_string = {}) AS t({})", path,
                       bytes_are_text, names);
  }

  std::string rows_left() const {
    const std::uint64_t first = copy_ ? group().from : 0;
    return fmt::format("file_row_number >= {} AND file_row_number < {}", row_ - first, group().to - first);
  }

  const ParquetRowGroup& group() const { return footer_.groups[group_]; }

  /// The group of row_, or the end.
  void go_to_group() {
    while (group_ < footer_.groups.size() && group().to <= row_) ++group_;
    rows_.reset();
    copy_.reset();
    tried_again_ = false;
  }

  /// True if `record` is set; false if a query ended.
  bool step(Record& record) {
    if (!rows_) begin_rows();
    if (at_ == in_chunk_) {
      at_ = 0;
      in_chunk_ = rows_->next_chunk() ? rows_->size() : 0;
      if (in_chunk_ == 0 && row_ < group().to) throw DuckdbError("the row group ends early", false, false);
    }
    if (in_chunk_ == 0) {
      go_to_group();
      return false;
    }
    record = row_to_record();
    ++row_;
    ++at_;
    return true;
  }

  void begin_rows() {
    at_ = in_chunk_ = 0;
    if (!copy_) {
      begin_rows(file(), declared_);
      return;
    }
    const std::vector<std::size_t> columns = query_->columns();
    const std::vector<DuckdbType> types = session_.query(fmt::format("SELECT * FROM {} LIMIT 0", copy())).types();
    std::vector<DuckdbType> found = declared_;
    for (std::size_t i = 0; i < columns.size() && i < types.size(); ++i) {
      found[columns[i]] = types[i];
      give_names(found[columns[i]], footer_.nodes, footer_.columns[columns[i]].node);
    }
    begin_rows(copy(), found);
  }

  void begin_rows(const std::string& source, const std::vector<DuckdbType>& found) {
    rows_.emplace(session_.query(
        fmt::format("SELECT {} FROM {} WHERE {}", query_->select(declared_, found), source, rows_left())));
  }

  Record row_to_record() const {
    const std::string& field = options_.layout.text_field;
    const std::int64_t verdict = rows_->number(ParquetQuery::verdict, at_);
    if (verdict == 0) return Filtered{where()};
    if (verdict < 0)
      return reject_here(RejectCause::bad_utf8, fmt::format("field \"{}\" is not valid UTF-8",
                                                            query_->asked()[static_cast<std::size_t>(-1 - verdict)]));
    if (!text_kind_ || rows_->number(ParquetQuery::has_text, at_) == 0)
      return reject_here(RejectCause::missing_field, query_->why_no_text());
    const bool is_text = text_kind_ == Kind::text || text_kind_ == Kind::bytes;
    if (!is_text || rows_->is_null(ParquetQuery::text, at_))
      return reject_here(RejectCause::wrong_type, fmt::format("field \"{}\" is {}, expected a string", field,
                                                              is_text ? "null" : name_of(*text_kind_)));
    const std::string_view text = rows_->text(ParquetQuery::text, at_);
    if (text.empty()) return reject_here(RejectCause::empty_text, fmt::format("field \"{}\" is empty", field));
    if (text.size() > options_.max_record_bytes)
      return reject_here(RejectCause::too_long,
                         fmt::format("the text has {} bytes, allowed are {}", text.size(), options_.max_record_bytes));
    if ((copy_ || text_kind_ == Kind::bytes) && !is_utf8(text))
      return reject_here(RejectCause::bad_utf8, fmt::format("field \"{}\" is not valid UTF-8", field));
    Document document{where(), std::string(text), {}};
    for (std::size_t i = 0; i < options_.fields.size(); ++i) {
      const std::size_t column = ParquetQuery::first_field + i;
      document.fields.emplace_back(rows_->is_null(column, at_) ? "" : rows_->text(column, at_));
    }
    return document;
  }

  RecordLocation where() const {
    const bool has_text = !rows_->is_null(ParquetQuery::text, at_);
    return {path_, row_, 0, 0, has_text ? rows_->text(ParquetQuery::text, at_).size() : content_of_rows(1)};
  }

  Reject reject_here(RejectCause cause, std::string reason) const {
    return rejected_record(where(), cause, std::move(reason));
  }

  /// Estimated bytes of so many of the group's rows: the group's average over the columns read, or over all columns if
  /// none is read.
  std::uint64_t content_of_rows(std::uint64_t rows) const {
    const std::uint64_t asked = footer_.uncompressed_bytes(group_, query_->columns());
    const double bytes = static_cast<double>(asked > 0 ? asked : footer_.uncompressed_bytes(group_));
    return static_cast<std::uint64_t>(bytes / static_cast<double>(group().to - group().from) *
                                      static_cast<double>(rows));
  }

  /// For DuckDB one text that is not UTF-8 is an error of the whole chunk: the group is read again from a copy in which
  /// texts are bytes. If that fails, too, the group is damaged, unless its columns can be read without the query: then
  /// the query is wrong.
  void recover(const DuckdbError& error) {
    rows_.reset();
    refuse_out_of_memory(error);
    if (error.fatal) {
      open_session();
      if (!std::exchange(tried_again_, true)) return;  // Another shard may have caused it.
    }
    const std::vector<std::size_t> columns = query_->columns();
    if (columns.empty()) return lose_group(error.what());
    if (copy_ && !columns_can_be_read()) return lose_group(error.what());
    if (copy_) blame_query(error);
    try {
      copy_.emplace(file_, footer_, group_, columns);
    } catch (const ParquetFooterError& no_pages) {
      lose_group(no_pages.what());
    } catch (const std::system_error& no_memory) {
      throw std::system_error(
          no_memory.code(),
          fmt::format("{}: row group {} has texts that are not UTF-8, or damage, and cannot be copied into memory to "
                      "read the rest of it; limits on memory and on the size of files (ulimit -v, -f) count for it",
                      path_, group_));
    }
  }

  bool columns_can_be_read() {
    try {
      DuckdbRows rows = session_.query(fmt::format("SELECT * FROM {} WHERE {}", copy(), rows_left()));
      std::uint64_t read = 0;
      while (rows.next_chunk()) read += rows.size();
      return read == group().to - row_;
    } catch (const DuckdbError& error) {
      refuse_out_of_memory(error);
      if (error.fatal) open_session();
      return false;
    }
  }

  [[noreturn]] void blame_query(const DuckdbError& error) const {
    const std::string at = fmt::format("{}: rows {} to {}", path_, row_, group().to - 1);
    if (options_.filter.where.empty()) throw DataError(fmt::format("{}: DuckDB: {}", at, of_the_file(error.what())));
    throw ConfigError(fmt::format("{}: where = \"{}\": {}", at, options_.filter.where, of_the_file(error.what())));
  }

  void refuse_out_of_memory(const DuckdbError& error) const {
    if (!error.out_of_memory) return;
    throw DataError(
        fmt::format("{}: row {}: DuckDB needs more than the 1 GB that it may use for a shard: {}; write the "
                    "file with smaller row groups or pages",
                    path_, row_, error.what()));
  }

  /// Replaces the copy's path in DuckDB's message by the file's: users do not know the copy.
  std::string of_the_file(std::string why) const {
    if (!copy_) return why;
    const std::string copy = copy_->path();
    for (std::size_t at = why.find(copy); at != std::string::npos; at = why.find(copy, at + path_.size()))
      why.replace(at, copy.size(), path_);
    return why;
  }

  void lose_group(const std::string& said) {
    const std::string why = of_the_file(said);
    const std::uint64_t rows = group().to - row_;
    fault_ = Reject{{path_, row_},
                    RejectCause::damaged_page,
                    fmt::format("row group {}, rows {} to {} are lost: {}", group_, row_, group().to - 1, why),
                    0,
                    {rows, content_of_rows(rows)}};
    for (const std::size_t column : query_->columns()) {
      for (std::size_t leaf = footer_.columns[column].leaf; leaf < footer_.columns[column].leaf_end; ++leaf)
        fault_->lost_bytes += group().chunks[leaf].compressed_bytes;
    }
    row_ = group().to;
    go_to_group();
  }

  std::string path_;
  ReadOptions options_;
  InputFile file_;
  SqlFile name_;
  ParquetFooter footer_;
  DuckdbSession session_;
  std::optional<ParquetQuery> query_;
  std::vector<DuckdbType> declared_;  // By column.
  std::optional<Kind> text_kind_;     // Empty if the file has no such field.

  std::uint64_t row_;
  std::size_t group_ = 0;
  bool tried_again_ = false;         // In this group, after a fatal error.
  std::optional<ParquetCopy> copy_;  // Of this group, if the file itself cannot be read.
  std::optional<DuckdbRows> rows_;  // From row_ to the group's end. Declared after session_ and copy_: destroyed first.
  std::size_t at_ = 0;
  std::size_t in_chunk_ = 0;
  std::optional<Reject> fault_;
};

}  // namespace

std::unique_ptr<RecordReader> open_parquet(const std::string& path, const ReadOptions& options,
                                           std::uint64_t first_record) {
  return std::make_unique<ParquetReader>(path, options, first_record);
}

std::vector<std::string> parquet_columns(const std::string& path) {
  try {
    return names_of(read_parquet_footer(InputFile(path)));
  } catch (const ParquetFooterError&) {
    return {};
  }
}

}  // namespace millrace
