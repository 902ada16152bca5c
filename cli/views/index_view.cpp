#include "cli/views/index_view.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "pipeline/corpora/loss_judge.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

constexpr std::size_t kMostShardRows = 40;
constexpr std::size_t kMostValueRows = 50;
constexpr std::size_t kNamedRejects = 10;

/// One row of the table: a shard, a folder of shards, or all of them.
struct Sum {
  explicit Sum(std::string name_of_row) : name(std::move(name_of_row)) {}

  std::string name;
  std::size_t shards = 0;
  std::set<std::string> containers;
  std::set<std::string> layouts;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  std::uint64_t text_bytes = 0;
  std::uint64_t tokens = 0;
  std::uint64_t rejects = 0;
  std::uint64_t content = 0;
  Loss lost{0, 0};

  void add(const ShardEntry& entry) {
    ++shards;
    containers.insert(entry.container.empty() ? "unreadable" : entry.container);
    layouts.insert(entry.layout);
    bytes += entry.bytes;
    records += entry.records;
    text_bytes += entry.text_bytes;
    tokens += entry.tokens.value_or(0);
    rejects += entry.rejected();
    content += entry.content;
    lost += entry.lost;
  }
};

std::string bytes_text(std::uint64_t bytes) {
  return human_bytes(static_cast<double>(bytes));
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

/// Totals per shard of the manifest, or per folder. Shards are in natural order, but a folder's own shards may come
/// before and after those of its sub-folders.
std::vector<Sum> rows_of(const DataManifest& manifest, bool per_folder) {
  std::vector<Sum> rows;
  for (const ShardEntry& entry : manifest.shards) {
    const std::string name = per_folder ? folder_of(entry.path) : entry.path;
    const auto row = std::find_if(rows.rbegin(), rows.rend(), [&](const Sum& sum) { return sum.name == name; });
    (row == rows.rend() ? rows.emplace_back(name) : *row).add(entry);
  }
  return rows;
}

std::string shard_table(const DataManifest& manifest) {
  const bool per_folder = manifest.shards.size() > kMostShardRows;
  const bool with_tokens = !manifest.vocabulary.empty();
  std::vector<TextTable::Column> columns{{per_folder ? "folder" : "shard", Align::left}};
  if (per_folder) columns.push_back({"shards"});
  columns.insert(columns.end(),
                 {{"container", Align::left}, {"layout", Align::left}, {"bytes"}, {"records"}, {"text"}});
  if (with_tokens) columns.push_back({"tokens"});
  columns.push_back({"rejects"});
  columns.push_back({"lost"});

  std::vector<Sum> rows = rows_of(manifest, per_folder);
  Sum all("all");
  for (const ShardEntry& entry : manifest.shards) all.add(entry);
  rows.push_back(std::move(all));
  TextTable table(std::move(columns));
  for (const Sum& row : rows) {
    std::vector<std::string> cells{row.name};
    if (per_folder) cells.push_back(fmt::format("{}", row.shards));
    cells.push_back(fmt::format("{}", fmt::join(row.containers, ", ")));
    cells.push_back(fmt::format("{}", fmt::join(row.layouts, ", ")));
    cells.push_back(bytes_text(row.bytes));
    cells.push_back(fmt::format("{}", row.records));
    cells.push_back(bytes_text(row.text_bytes));
    if (with_tokens) cells.push_back(human_count(static_cast<double>(row.tokens)));
    cells.push_back(fmt::format("{}", row.rejects));
    const double lost = lost_part({row.records, row.content}, row.lost);
    cells.push_back(lost == 0 ? "" : fmt::format("{:.3g} %", 100 * lost));
    table.add(std::move(cells));
  }
  return table.text();
}

std::string place_of(const RecordLocation& where) {
  if (where.line > 0) return fmt::format("{}:{}", where.shard, where.line);
  return where.record > 0 ? fmt::format("{}: record {}", where.shard, where.record) : where.shard;
}

std::string rejects_text(const ShardIndex& index) {
  std::map<std::string, std::uint64_t> causes;
  for (const ShardEntry& entry : index.manifest.shards)
    for (const auto& [cause, count] : entry.rejects) causes[cause] += count;
  if (causes.empty()) return "nothing was rejected\n";
  std::vector<std::string> counts;
  for (const auto& [cause, count] : causes) counts.push_back(fmt::format("{} {}", count, cause));
  std::string text = fmt::format("rejected: {}\n", fmt::join(counts, ", "));
  for (std::size_t i = 0; i < std::min(index.rejects.size(), kNamedRejects); ++i) {
    const Reject& reject = index.rejects[i];
    text += fmt::format("  {}: {}: {}\n", place_of(reject.where), name_of(reject.cause), reject.reason);
  }
  if (index.rejects.size() > kNamedRejects)
    text += fmt::format("  ... (--out names all of them in a .rejects.jsonl beside the manifest)\n");
  return text;
}

using ValueCount = std::pair<std::string, FieldValues::Count>;

std::vector<ValueCount> most_first(const FieldValues& by) {
  std::vector<ValueCount> values(by.counts.begin(), by.counts.end());
  std::ranges::stable_sort(values, [](const ValueCount& a, const ValueCount& b) {
    return std::tie(a.second.documents, a.second.text_bytes) > std::tie(b.second.documents, b.second.text_bytes);
  });
  return values;
}

std::string value_table(const FieldValues& by, const std::string& field) {
  const std::vector<ValueCount> values = most_first(by);
  FieldValues::Count all = by.others;
  FieldValues::Count others = by.others;
  for (std::size_t i = 0; i < values.size(); ++i) {
    all.add(values[i].second);
    if (i >= kMostValueRows) others.add(values[i].second);
  }
  TextTable table({{field, Align::left}, {"documents"}, {"text"}, {"of the text"}});
  const auto add = [&](const std::string& name, const FieldValues::Count& count) {
    const double share =
        all.text_bytes == 0 ? 0 : static_cast<double>(count.text_bytes) / static_cast<double>(all.text_bytes);
    table.add(
        {name, fmt::format("{}", count.documents), bytes_text(count.text_bytes), fmt::format("{:.2f} %", 100 * share)});
  };
  for (std::size_t i = 0; i < std::min(values.size(), kMostValueRows); ++i)
    add(values[i].first.empty() ? "(none)" : values[i].first, values[i].second);
  if (others.documents > 0) add("(others)", others);
  add("all", all);
  return table.text();
}

}  // namespace

std::string index_text(const ShardIndex& index, const std::string& by) {
  std::string text = shard_table(index.manifest) + "\n" + rejects_text(index);
  if (!by.empty()) text += "\n" + value_table(index.by, by);
  return text;
}

std::string index_json(const ShardIndex& index, const std::string& by, const std::filesystem::path& folder) {
  Json json = manifest_json(index.manifest, folder);
  if (by.empty()) return json_table(std::move(json));
  Json values = Json::array();
  for (const auto& [value, count] : most_first(index.by))
    values.push_back({{"value", value.empty() ? Json() : Json(value)},
                      {"documents", count.documents},
                      {"text_bytes", count.text_bytes}});
  json["by"] = {{"field", by},
                {"values", values},
                {"others", {{"documents", index.by.others.documents}, {"text_bytes", index.by.others.text_bytes}}}};
  return json_line(json) + "\n";
}

}  // namespace millrace
