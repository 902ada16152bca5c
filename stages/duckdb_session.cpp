#include "stages/duckdb_session.h"

#include <utility>

#include "stages/errors.h"

#ifdef MILLRACE_HAS_DUCKDB
#include <duckdb.h>
#endif

namespace millrace {

std::string sql_string(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "''" : std::string(1, c);
  return quoted + "'";
}

std::string sql_name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string sql_path(std::string_view path) {
  std::string literal;
  for (const char c : path) {
    if (c == '*' || c == '?' || c == '[') {
      literal += {'[', c, ']'};
    } else {
      literal += c;
    }
  }
  return sql_string(literal);
}

#ifdef MILLRACE_HAS_DUCKDB

namespace {

/// DuckDB's messages go on with the query and a pointer into it, which nobody asked for.
std::string first_line(const char* message, const char* otherwise) {
  const std::string whole = message != nullptr ? message : otherwise;
  return whole.substr(0, whole.find('\n'));
}

DuckdbError error_of(duckdb_result& result, const char* otherwise) {
  const char* message = duckdb_result_error(&result);
  const duckdb_error_type type = duckdb_result_error_type(&result);
  return {first_line(message, otherwise), type == DUCKDB_ERROR_OUT_OF_MEMORY,
          type == DUCKDB_ERROR_FATAL || type == DUCKDB_ERROR_INTERNAL};
}

}  // namespace

struct DuckdbRows::Impl {
  duckdb_prepared_statement statement = nullptr;
  duckdb_pending_result pending = nullptr;
  duckdb_result result{};
  duckdb_data_chunk chunk = nullptr;

  ~Impl() {
    duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
  }
};

struct DuckdbSession::Impl {
  duckdb_database database = nullptr;
  duckdb_connection connection = nullptr;

  ~Impl() {
    duckdb_disconnect(&connection);
    duckdb_close(&database);
  }
};

DuckdbSession::DuckdbSession() : impl_(std::make_unique<Impl>()) {
  duckdb_config config = nullptr;
  duckdb_create_config(&config);
  duckdb_set_config(config, "threads", "1");
  duckdb_set_config(config, "memory_limit", "1GB");
  duckdb_set_config(config, "temp_directory", "");
  duckdb_set_config(config, "autoinstall_known_extensions", "false");
  duckdb_set_config(config, "autoload_known_extensions", "false");
  char* error = nullptr;
  const duckdb_state state = duckdb_open_ext(nullptr, &impl_->database, config, &error);
  duckdb_destroy_config(&config);
  if (state != DuckDBSuccess || duckdb_connect(impl_->database, &impl_->connection) != DuckDBSuccess) {
    const std::string message = error != nullptr ? error : "no connection";
    duckdb_free(error);
    throw std::runtime_error("cannot open DuckDB: " + message);
  }
  query("SET parquet_metadata_cache = true");
}

DuckdbRows DuckdbSession::query(const std::string& sql) {
  auto rows = std::make_unique<DuckdbRows::Impl>();
  if (duckdb_prepare(impl_->connection, sql.c_str(), &rows->statement) != DuckDBSuccess) {
    const char* message = duckdb_prepare_error(rows->statement);
    const std::string reason = first_line(message, "the query was refused");
    throw DuckdbError(reason, reason.rfind("Out of Memory", 0) == 0,
                      reason.rfind("INTERNAL", 0) == 0 || reason.rfind("FATAL", 0) == 0);
  }
  duckdb_pending_prepared_streaming(rows->statement, &rows->pending);
  if (duckdb_execute_pending(rows->pending, &rows->result) != DuckDBSuccess) {
    throw error_of(rows->result, "the query failed");
  }
  return DuckdbRows(std::move(rows));
}

void DuckdbSession::append(const std::string& table, const std::vector<std::vector<Cell>>& rows) {
  duckdb_appender appender = nullptr;
  bool good = duckdb_appender_create(impl_->connection, nullptr, table.c_str(), &appender) == DuckDBSuccess;
  const auto append_cell = [&appender](const Cell& cell) {
    if (const auto* text = std::get_if<std::string_view>(&cell)) {
      return duckdb_append_varchar_length(appender, text->data(), text->size()) == DuckDBSuccess;
    }
    if (const auto* number = std::get_if<std::int64_t>(&cell)) {
      return duckdb_append_int64(appender, *number) == DuckDBSuccess;
    }
    return duckdb_append_double(appender, std::get<double>(cell)) == DuckDBSuccess;
  };
  for (std::size_t row = 0; good && row < rows.size(); ++row) {
    for (const Cell& cell : rows[row]) good = good && append_cell(cell);
    good = good && duckdb_appender_end_row(appender) == DuckDBSuccess;
  }
  good = good && duckdb_appender_close(appender) == DuckDBSuccess;
  const std::string reason = good ? "" : first_line(duckdb_appender_error(appender), "rows were not taken");
  duckdb_appender_destroy(&appender);
  if (!good) throw DuckdbError(reason, reason.rfind("Out of Memory", 0) == 0, false);
}

bool DuckdbRows::next_chunk() {
  duckdb_destroy_data_chunk(&impl_->chunk);
  impl_->chunk = duckdb_fetch_chunk(impl_->result);
  if (impl_->chunk == nullptr && duckdb_result_error(&impl_->result) != nullptr) {
    throw error_of(impl_->result, "the query failed");
  }
  return impl_->chunk != nullptr && duckdb_data_chunk_get_size(impl_->chunk) > 0;
}

std::size_t DuckdbRows::size() const {
  return duckdb_data_chunk_get_size(impl_->chunk);
}

bool DuckdbRows::is_null(std::size_t column, std::size_t row) const {
  std::uint64_t* valid = duckdb_vector_get_validity(duckdb_data_chunk_get_vector(impl_->chunk, column));
  return valid != nullptr && !duckdb_validity_row_is_valid(valid, row);
}

std::string_view DuckdbRows::text(std::size_t column, std::size_t row) const {
  auto* strings =
      static_cast<duckdb_string_t*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(impl_->chunk, column)));
  return {duckdb_string_t_data(strings + row), duckdb_string_t_length(strings[row])};
}

std::int64_t DuckdbRows::number(std::size_t column, std::size_t row) const {
  return static_cast<std::int64_t*>(duckdb_vector_get_data(duckdb_data_chunk_get_vector(impl_->chunk, column)))[row];
}

#else

struct DuckdbRows::Impl {};
struct DuckdbSession::Impl {};

DuckdbSession::DuckdbSession() {
  throw ConfigError(
      "this millrace was built without DuckDB, which reads and writes Parquet: run scripts/deps.sh, then configure and "
      "build again");
}
DuckdbRows DuckdbSession::query(const std::string&) {
  throw std::logic_error("DuckDB is not there");
}
void DuckdbSession::append(const std::string&, const std::vector<std::vector<Cell>>&) {
  throw std::logic_error("DuckDB is not there");
}
bool DuckdbRows::next_chunk() {
  return false;
}
std::size_t DuckdbRows::size() const {
  return 0;
}
bool DuckdbRows::is_null(std::size_t, std::size_t) const {
  return true;
}
std::string_view DuckdbRows::text(std::size_t, std::size_t) const {
  return {};
}
std::int64_t DuckdbRows::number(std::size_t, std::size_t) const {
  return 0;
}

#endif

DuckdbRows::DuckdbRows(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DuckdbRows::~DuckdbRows() = default;
DuckdbRows::DuckdbRows(DuckdbRows&&) noexcept = default;
DuckdbSession::~DuckdbSession() = default;
DuckdbSession::DuckdbSession(DuckdbSession&&) noexcept = default;
DuckdbSession& DuckdbSession::operator=(DuckdbSession&&) noexcept = default;

}  // namespace millrace
