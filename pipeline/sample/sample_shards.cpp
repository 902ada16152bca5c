#include "pipeline/sample/sample_shards.h"

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "stages/compression/zstd_frame.h"
#include "stages/io/atomic_file.h"
#include "stages/io/disk.h"
#include "stages/io/output_file.h"
#include "stages/parquet/duckdb_session.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

constexpr int kCompressionLevel = 6;
constexpr std::size_t kRowsPerGroup = 128;
constexpr std::size_t kDocumentsForTwoShards = 32;

using Documents = std::span<const SampleDocument>;

/// Cuts `documents` into runs of about the same number of bytes.
std::vector<Documents> cut_into_shards(const std::vector<SampleDocument>& documents, std::uint64_t shard_bytes) {
  std::uint64_t total = 0;
  for (const SampleDocument& document : documents) total += document.text.size();
  const std::size_t fewest = documents.size() >= kDocumentsForTwoShards ? 2 : 1;
  const std::size_t wanted = std::max<std::size_t>((total + shard_bytes - 1) / shard_bytes, fewest);
  std::vector<Documents> shards;
  std::size_t begin = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    bytes += documents[i].text.size();
    const bool full = bytes * wanted >= total * (shards.size() + 1);
    if (full && shards.size() + 1 < wanted) {
      shards.push_back(Documents(documents).subspan(begin, i + 1 - begin));
      begin = i + 1;
    }
  }
  if (begin < documents.size()) shards.push_back(Documents(documents).subspan(begin));
  return shards;
}

std::string redpajama_line(const SampleDocument& document, const std::string& corpus) {
  Json meta = {{"source", "millrace sample/" + corpus}, {"path", document.source.path}};
  if (!document.source.language.empty()) meta["language"] = document.source.language;
  const Json line = {{"text", document.text}, {"meta", meta}};
  return json_line(line) + "\n";
}

struct LineFacts {
  double average_length = 0;
  std::int64_t longest = 0;
  double alphanumeric = 0;
};

LineFacts facts_of_lines(const std::string& text) {
  std::int64_t lines = 0;
  std::int64_t alphanumeric = 0;
  LineFacts facts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    facts.longest = std::max(facts.longest, static_cast<std::int64_t>(end - begin));
    ++lines;
    begin = end + 1;
  }
  for (const char c : text) {
    alphanumeric += (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ? 1 : 0;
  }
  const auto size = static_cast<double>(text.size());
  facts.average_length =
      (size - static_cast<double>(lines - 1)) / static_cast<double>(std::max<std::int64_t>(lines, 1));
  facts.alphanumeric = static_cast<double>(alphanumeric) / size;
  return facts;
}

void write_parquet(const fs::path& file, Documents documents) {
  DuckdbSession session;
  session.query(
      "CREATE TEMP TABLE code (size BIGINT, ext VARCHAR, lang VARCHAR, max_stars_repo_path VARCHAR, avg_line_length "
      "DOUBLE, "
      "max_line_length BIGINT, alphanum_fraction DOUBLE, content VARCHAR)");
  std::vector<std::vector<DuckdbSession::Cell>> rows;
  for (const SampleDocument& document : documents) {
    const LineFacts facts = facts_of_lines(document.text);
    rows.push_back({static_cast<std::int64_t>(document.text.size()), std::string_view(document.source.extension),
                    std::string_view(document.source.language), std::string_view(document.source.path).substr(1),
                    facts.average_length, facts.longest, facts.alphanumeric, std::string_view(document.text)});
  }
  session.append("code", rows);
  // A row group ends where a chunk of rows ends, and a plain scan's chunks have 2048 rows.
  std::string groups;
  for (std::size_t row = 0; row < documents.size(); row += kRowsPerGroup) {
    groups += fmt::format("{}SELECT * FROM code WHERE rowid BETWEEN {} AND {}", row == 0 ? "" : " UNION ALL ", row,
                          row + kRowsPerGroup - 1);
  }
  session.query(fmt::format("COPY ({}) TO {} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {})", groups,
                            sql_string(file.string()), kRowsPerGroup));
  sync_to_disk(file);
}

}  // namespace

int write_redpajama(const fs::path& folder, const std::string& name, const std::vector<SampleDocument>& documents,
                    std::uint64_t shard_bytes) {
  const std::vector<Documents> shards = cut_into_shards(documents, shard_bytes);
  make_folder(folder);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    std::string lines;
    for (const SampleDocument& document : shards[i]) lines += redpajama_line(document, name);
    write_file_atomically(folder / fmt::format("{}-{:05}-of-{:05}.jsonl.zst", name, i, shards.size()),
                          zstd_compressed(lines, {.level = kCompressionLevel, .checksum = true}));
  }
  return static_cast<int>(shards.size());
}

int write_the_stack(const fs::path& folder, const std::vector<SampleDocument>& documents, std::uint64_t shard_bytes) {
  const std::vector<Documents> shards = cut_into_shards(documents, shard_bytes);
  make_folder(folder);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    write_parquet(folder / fmt::format("data-{:05}-of-{:05}.parquet", i, shards.size()), shards[i]);
  }
  return static_cast<int>(shards.size());
}

}  // namespace millrace
