#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace millrace {

/// What a whole number may be, ends included.
struct WholeRange {
  std::uint64_t least = 0;
  std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  std::uint64_t multiple_of = 1;
};

/// What a number may be, ends included unless they are excluded; none that Millrace asks for is below 0. What is
/// computed in f32 holds no more than the most here.
struct NumberRange {
  double least = 0;
  double most = static_cast<double>(std::numeric_limits<float>::max());
  bool least_excluded = false;
  bool most_excluded = false;
};

bool holds(const WholeRange& range, std::uint64_t value);
bool holds(const NumberRange& range, double value);  ///< False of what is not finite.
/// "a whole number from 2 to 64, a multiple of 2"
std::string expected(const WholeRange& range);
/// "a number from 0 to 1 (1 excluded)"
std::string expected(const NumberRange& range);

/// One table of a TOML file, read key by key. Every complaint is a ConfigError "file:line:column: key: found, expected,
/// what to do". A key that nobody asked for is an error with "did you mean": call refuse_unknown_keys() last.
class ConfigTable {
 public:
  /// Reads a whole file. Each of `sets` is "dotted.key=value" and replaces what the file says, or what a file that it
  /// names says: see assignment.h. A value that is no TOML value is taken as text.
  static ConfigTable read(const std::filesystem::path& file, const std::vector<std::string>& sets = {});

  /// Reads text; `name` stands for the file in complaints.
  static ConfigTable parse(const std::string& text, const std::filesystem::path& name);

  bool has(const std::string& key) const;
  /// Without a fallback the key must be there.
  std::string text(const std::string& key) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  double number(const std::string& key, NumberRange range = {}) const;
  double number(const std::string& key, double fallback, NumberRange range = {}) const;
  /// Exact. Also takes whole floats, so that 780e9 can be written, and integers beyond TOML's, up to 2^64 - 1.
  std::uint64_t count(const std::string& key, WholeRange range = {}) const;
  std::uint64_t count(const std::string& key, std::uint64_t fallback, WholeRange range = {}) const;
  bool flag(const std::string& key, bool fallback) const;
  std::vector<std::string> texts(const std::string& key) const;  ///< Empty if absent; a single text is a list of one.
  /// As texts(), and whole numbers and booleans as TOML writes them.
  std::vector<std::string> values(const std::string& key) const;
  bool is_table(const std::string& key) const;
  /// One of `choices`, by name.
  std::string choice(const std::string& key, const std::string& fallback,
                     const std::vector<std::string>& choices) const;
  ConfigTable table(const std::string& key) const;                ///< Empty if absent.
  std::vector<ConfigTable> tables(const std::string& key) const;  ///< [[key]]; empty if absent.
  std::vector<std::string> keys() const;
  /// Absolute; relative to the file's folder, or to the current folder where --set gave it.
  std::filesystem::path path(const std::string& key) const;
  /// The file at path(key), with what `sets` say of its inside.
  ConfigTable file_at(const std::string& key) const;

  /// Also refuses `sets` that go on behind a key whose file was not opened.
  void refuse_unknown_keys() const;
  /// "file:line:column" of a key, or of the table that lacks it; "file, --set" of a key from the command line.
  std::string place_of(const std::string& key) const;
  [[noreturn]] void fail(const std::string& key, const std::string& complaint) const;
  const std::filesystem::path& file() const;

 private:
  struct Impl;
  explicit ConfigTable(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

}  // namespace millrace
