#include "stages/parquet/duckdb_session.h"

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

#ifdef MILLRACE_HAS_DUCKDB
#include <duckdb.h>
#endif

namespace millrace {

const char* name_of(DuckdbType::Kind kind) {
  switch (kind) {
    case DuckdbType::Kind::text:
      return "a string";
    case DuckdbType::Kind::bytes:
      return "bytes";
    case DuckdbType::Kind::boolean:
      return "a boolean";
    case DuckdbType::Kind::number:
      return "a number";
    case DuckdbType::Kind::list:
      return "a list";
    case DuckdbType::Kind::map:
      return "a map";
    case DuckdbType::Kind::structure:
      return "a struct";
    case DuckdbType::Kind::other:
      break;
  }
  return "of another type";
}

std::string sql_string(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\0') {
      quoted += "' || chr(0) || '";  // The query itself would end there.
    } else {
      quoted += c == '\'' ? "''" : std::string(1, c);
    }
  }
  quoted += "'";
  return text.find('\0') == std::string_view::npos ? quoted : "(" + quoted + ")";
}

std::string sql_name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

#ifdef MILLRACE_HAS_DUCKDB

namespace {

/// DuckDB's messages end with the query and a pointer into it, which do not help users.
std::string first_line(const char* message, const char* otherwise) {
  const std::string whole = message != nullptr ? message : otherwise;
  return whole.substr(0, whole.find('\n'));
}

/// The database that sessions share: opening it costs more than reading a shard of usual size.
class Database {
 public:
  Database() {
    try {
      open();
    } catch (...) {
      duckdb_close(&database_);
      throw;
    }
  }
  ~Database() { duckdb_close(&database_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  duckdb_database get() const { return database_; }
  /// After a fatal error DuckDB refuses every query of every session.
  void spoil() { spoiled_ = true; }
  bool is_spoiled() const { return spoiled_; }
  /// Registers a session and raises the shared memory limit.
  void enter();
  void leave() { --sessions_; }

 private:
  void open();
  void set(const std::string& setting);

  duckdb_database database_ = nullptr;
  std::atomic<bool> spoiled_ = false;
  std::atomic<int> sessions_ = 0;
  std::atomic<int> gigabytes_ = 1;
};

void Database::open() {
  duckdb_config config = nullptr;
  duckdb_create_config(&config);
  duckdb_set_config(config, "threads", "1");
  duckdb_set_config(config, "memory_limit", "1GB");
  duckdb_set_config(config, "temp_directory", "");
  duckdb_set_config(config, "autoinstall_known_extensions", "false");
  duckdb_set_config(config, "autoload_known_extensions", "false");
  char* error = nullptr;
  const duckdb_state state = duckdb_open_ext(nullptr, &database_, config, &error);
  duckdb_destroy_config(&config);
  const std::string message = error != nullptr ? error : "no reason given";
  duckdb_free(error);
  if (state != DuckDBSuccess) throw std::runtime_error("cannot open DuckDB: " + message);
  for (const char* setting :
       {"parquet_metadata_cache = true", "enable_geoparquet_conversion = false", "enable_external_file_cache = false",
        "TimeZone = 'UTC'", "Calendar = 'gregorian'"}) {  // Else the user's locale decides.
    set(setting);
  }
}

void Database::set(const std::string& setting) {
  duckdb_connection connection = nullptr;
  const bool good = duckdb_connect(database_, &connection) == DuckDBSuccess &&
                    duckdb_query(connection, ("SET GLOBAL " + setting).c_str(), nullptr) == DuckDBSuccess;
  duckdb_disconnect(&connection);
  if (!good) throw std::runtime_error("DuckDB does not take the setting " + setting);
}

void Database::enter() {
  const int sessions = ++sessions_;
  int known = gigabytes_;
  while (known < sessions && !gigabytes_.compare_exchange_weak(known, sessions)) {
  }
  if (known < sessions) set(fmt::format("memory_limit = '{}GB'", sessions));
}

/// The process's database, or a new one if a fatal error made that unusable.
std::shared_ptr<Database> open_database() {
  static const auto shared = std::make_shared<Database>();
  return shared->is_spoiled() ? std::make_shared<Database>() : shared;
}

DuckdbType type_of(duckdb_logical_type type);

void add_part(DuckdbType& type, std::string name, duckdb_logical_type part) {
  type.parts.emplace_back(std::move(name), type_of(part));
}

/// Destroys `type`.
DuckdbType type_of(duckdb_logical_type type) {
  using Kind = DuckdbType::Kind;
  DuckdbType result;
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_VARCHAR:
      result.kind = Kind::text;
      break;
    case DUCKDB_TYPE_BLOB:
      result.kind = Kind::bytes;
      break;
    case DUCKDB_TYPE_BOOLEAN:
      result.kind = Kind::boolean;
      break;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL:
      result.kind = Kind::number;
      break;
    case DUCKDB_TYPE_LIST:
      result.kind = Kind::list;
      add_part(result, "", duckdb_list_type_child_type(type));
      break;
    case DUCKDB_TYPE_MAP:
      result.kind = Kind::map;
      add_part(result, "", duckdb_map_type_key_type(type));
      add_part(result, "", duckdb_map_type_value_type(type));
      break;
    case DUCKDB_TYPE_STRUCT:
      result.kind = Kind::structure;
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        char* name = duckdb_struct_type_child_name(type, i);
        add_part(result, name, duckdb_struct_type_child_type(type, i));
        duckdb_free(name);
      }
      break;
    default:
      break;
  }
  duckdb_destroy_logical_type(&type);
  return result;
}

}  // namespace

struct DuckdbRows::Impl {
  explicit Impl(std::shared_ptr<Database> database_) : database(std::move(database_)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
  }

  [[noreturn]] void fail(const std::string& message, bool out_of_memory, bool fatal) const {
    if (fatal) database->spoil();
    throw DuckdbError(message, out_of_memory, fatal);
  }
  [[noreturn]] void fail_as_result() {
    const duckdb_error_type type = duckdb_result_error_type(&result);
    fail(first_line(duckdb_result_error(&result), "the query failed"), type == DUCKDB_ERROR_OUT_OF_MEMORY,
         type == DUCKDB_ERROR_FATAL || type == DUCKDB_ERROR_INTERNAL);
  }

  std::shared_ptr<Database> database;
  duckdb_prepared_statement statement = nullptr;
  duckdb_pending_result pending = nullptr;
  duckdb_result result{};
  duckdb_data_chunk chunk = nullptr;
};

struct DuckdbSession::Impl {
  Impl() : database(open_database()) { database->enter(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    duckdb_disconnect(&connection);
    database->leave();
  }

  std::shared_ptr<Database> database;
  duckdb_connection connection = nullptr;
};

DuckdbSession::DuckdbSession() : impl_(std::make_unique<Impl>()) {
  if (duckdb_connect(impl_->database->get(), &impl_->connection) != DuckDBSuccess)
    throw std::runtime_error("cannot open DuckDB: no connection");
}

DuckdbRows DuckdbSession::query(const std::string& sql) {
  auto rows = std::make_unique<DuckdbRows::Impl>(impl_->database);
  if (duckdb_prepare(impl_->connection, sql.c_str(), &rows->statement) != DuckDBSuccess) {
    const std::string reason = first_line(duckdb_prepare_error(rows->statement), "the query was refused");
    rows->fail(reason, reason.starts_with("Out of Memory"),
               reason.starts_with("INTERNAL") || reason.starts_with("FATAL"));
  }
  duckdb_pending_prepared_streaming(rows->statement, &rows->pending);
  if (duckdb_execute_pending(rows->pending, &rows->result) != DuckDBSuccess) rows->fail_as_result();
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
  if (impl_->chunk == nullptr && duckdb_result_error(&impl_->result) != nullptr) impl_->fail_as_result();
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

std::vector<DuckdbType> DuckdbRows::types() const {
  std::vector<DuckdbType> types;
  for (idx_t i = 0; i < duckdb_column_count(&impl_->result); ++i)
    types.push_back(type_of(duckdb_column_logical_type(&impl_->result, i)));
  return types;
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
std::vector<DuckdbType> DuckdbRows::types() const {
  return {};
}

#endif

DuckdbRows::DuckdbRows(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DuckdbRows::~DuckdbRows() = default;
DuckdbRows::DuckdbRows(DuckdbRows&&) noexcept = default;
DuckdbSession::~DuckdbSession() = default;
DuckdbSession::DuckdbSession(DuckdbSession&&) noexcept = default;
DuckdbSession& DuckdbSession::operator=(DuckdbSession&&) noexcept = default;

}  // namespace millrace
