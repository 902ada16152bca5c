#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stages/parquet/parquet_to_documents.h"
#include "tests/stages/shards/shard_fixture.h"
#include "tests/stages/shared_data.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

Reading read_detected(const fs::path& shard) {
  return read_shard(shard.string(), 0, {detect_layout(shard.string())});
}

std::vector<std::string> cells_of(const std::string& row) {
  std::vector<std::string> cells;
  std::stringstream in(row);
  for (std::string cell; std::getline(in, cell, '|');) {
    const std::size_t first = cell.find_first_not_of(' ');
    cells.push_back(first == std::string::npos ? "" : cell.substr(first, cell.find_last_not_of(' ') + 1 - first));
  }
  return cells;
}

TEST(SharedShards, HaveTheRowsOfTheirManifestAndNoRejects) {
  const fs::path data = shared_folder() / "data";
  MILLRACE_SKIP_WITHOUT(data / "MANIFEST.md");
  std::ifstream manifest(data / "MANIFEST.md");
  int shards = 0;
  for (std::string row; std::getline(manifest, row);) {
    const std::vector<std::string> cells = cells_of(row);
    if (cells.size() < 5 || (cells[1].rfind("redpajama/", 0) != 0 && cells[1].rfind("the_stack/", 0) != 0)) continue;
#ifndef MILLRACE_HAS_DUCKDB
    if (cells[1].rfind(".parquet") != std::string::npos) continue;
#endif
    const Reading reading = read_detected(data / cells[1]);
    EXPECT_EQ(reading.documents.size(), std::stoul(cells[2])) << cells[1];
    EXPECT_TRUE(reading.rejects.empty()) << cells[1];
    std::size_t text_bytes = 0;
    for (const Document& document : reading.documents) text_bytes += document.text.size();
    if (cells[1].rfind("redpajama/", 0) == 0) {
      EXPECT_EQ(text_bytes, std::stoul(cells[3])) << cells[1];
    }
    ++shards;
  }
  EXPECT_GT(shards, 15);
}

TEST(SharedShards, ThatAreDamagedGiveWhatIsExpectedOfThem) {
  const fs::path corrupt = shared_folder() / "data/corrupt";
  MILLRACE_SKIP_WITHOUT(corrupt / "expected.json");
  const nlohmann::json expected = nlohmann::json::parse(std::ifstream(corrupt / "expected.json"));
  for (const auto& [name, wanted] : expected.items()) {
    if (name.front() == '_') continue;
#ifndef MILLRACE_HAS_DUCKDB
    if (name.rfind(".parquet") != std::string::npos && name != "empty.parquet") continue;
#endif
    const Reading reading = read_detected(corrupt / name);
    const std::map<std::string, int> causes = reading.causes();
    if (wanted.contains("records")) {
      EXPECT_EQ(reading.documents.size(), wanted["records"]) << name;
    }
    if (wanted.contains("records_at_least")) {
      EXPECT_GE(reading.documents.size(), wanted["records_at_least"]) << name;
    }
    if (wanted.contains("rejects")) {
      EXPECT_EQ(nlohmann::json(causes), wanted["rejects"]) << name;
    }
    const nlohmann::json at_least = wanted.value("rejects_at_least", nlohmann::json::object());
    for (const auto& [cause, count] : at_least.items()) {
      EXPECT_GE(causes.contains(cause) ? causes.at(cause) : 0, count) << name << " " << cause;
    }
  }
}

#ifdef MILLRACE_HAS_DUCKDB
TEST(SharedShards, ThatCrashedOtherReadersAreReadOrRejected) {
  const fs::path corrupt = shared_folder() / "data/corrupt";
  MILLRACE_SKIP_WITHOUT(corrupt);
  for (const auto& entry : fs::directory_iterator(corrupt)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("apache", 0) != 0 && name.rfind("nation", 0) != 0) continue;
    std::vector<std::string> columns = parquet_columns(entry.path().string());
    columns.push_back("text");
    for (const std::string& column : columns) {
      ReadOptions options;
      options.layout.text_field = column;
      EXPECT_NO_THROW(read_shard(entry.path().string(), 0, options)) << name;
    }
  }
}
#endif

}  // namespace
}  // namespace millrace
