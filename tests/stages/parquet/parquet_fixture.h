#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "stages/parquet/duckdb_session.h"
#include "stages/parquet/parquet_footer.h"
#include "tests/stages/shards/shard_fixture.h"

namespace millrace {

inline std::string bytes_of(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

/// `text` with every `from` replaced by `to`.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// A file in LZ4_RAW (7) whose footer calls its codec `codec`, which is below 64.
inline std::string with_codec(std::string bytes, int codec, const TemporaryFolder& folder) {
  const auto changed = [&](const std::string& candidate) {
    std::size_t chunks = 0;
    try {
      const ParquetFooter footer = read_parquet_footer(InputFile(folder.write("candidate", candidate)));
      for (const ParquetRowGroup& group : footer.groups) {
        for (const ParquetChunk& chunk : group.chunks) chunks += chunk.codec == codec ? 1 : 0;
      }
    } catch (const ParquetFooterError&) {
    }
    return chunks;
  };
  // A field one further on, an i32, of 7.
  std::size_t known = 0;
  for (std::size_t at = bytes.find("\x15\x0E"); at != std::string::npos; at = bytes.find("\x15\x0E", at + 1)) {
    std::string candidate = bytes;
    candidate[at + 1] = static_cast<char>(2 * codec);
    const std::size_t now = changed(candidate);
    if (now <= known) continue;
    known = now;
    bytes = candidate;
  }
  return bytes;
}

class ParquetTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef MILLRACE_HAS_DUCKDB
    GTEST_SKIP() << "built without DuckDB: run scripts/deps.sh";
#endif
  }
  /// The rows of a query in row groups of 2,048, under a name with characters that patterns are made of.
  std::string write(const std::string& select, const std::string& options = "",
                    const std::string& name = "odd [name]*?.parquet") const {
    const std::string path = folder_.write(name, "");
    DuckdbSession().query("COPY (" + select + ") TO " + sql_string(path) + " (FORMAT parquet, ROW_GROUP_SIZE 2048" +
                          options + ")");
    return path;
  }
  /// A file whose texts and names are then replaced by others of the same length, as no correct writer would write
  /// them.
  std::string write_with(const std::string& select, const std::string& from, const std::string& to,
                         const std::string& options = "") const {
    const std::string path = write(select, ", COMPRESSION uncompressed" + options);
    return folder_.write("patched.parquet", replaced(bytes_of(path), from, to));
  }
  TemporaryFolder folder_;
};

}  // namespace millrace
