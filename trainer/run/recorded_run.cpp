#include "trainer/run/recorded_run.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_shards.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

template <class Use>
void for_each_entry(const fs::path& log, const Use& use) {
  for_each_line(log, [&](const std::string& line, std::uint64_t number) {
    use(JsonValue::parse(line, {log.string(), number, "remove the line"}));
  });
}

void add_position(std::vector<StreamPosition>& positions, const JsonValue& line) {
  auto position = line.as<StreamPosition>();
  if (!positions.empty() && position.row <= positions.back().row)
    line.at("row").fail(
        fmt::format("is {}, expected more than the {} of the line before", position.row, positions.back().row));
  positions.push_back(std::move(position));
}

/// Only a program with the same stream version can recompute the rows.
void check_stream_version(const fs::path& checkpoints) {
  std::vector<fs::path> folders;
  if (fs::is_directory(checkpoints)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints)) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  const std::optional<RunIdentity> identity = folders.empty() ? std::nullopt : load_identity(folders.back());
  if (identity && identity->stream_version != kStreamVersion)
    throw ConfigError(
        fmt::format("{}: made with version {} of the stream, this program makes version {}: its rows would differ",
                    folders.back().string(), identity->stream_version, kStreamVersion));
}

}  // namespace

std::uint64_t RecordedRun::rows() const {
  const auto length = static_cast<std::uint64_t>(run.stream.sequence_length);
  return (run.stream.phases.back().until + length - 1) / length;
}

std::optional<StreamPosition> RecordedRun::position_before(std::uint64_t row) const {
  const auto behind = std::upper_bound(positions.begin(), positions.end(), row,
                                       [](std::uint64_t wanted, const StreamPosition& at) { return wanted < at.row; });
  return behind == positions.begin() ? std::nullopt : std::optional(*std::prev(behind));
}

RecordedRun open_recorded(const RunSource& options) {
  RecordedRun recorded;
  recorded.run = load_run(options);
  recorded.run.stream = trained_stream(recorded.run);
  const fs::path folder = options.run;
  recorded.has_run = fs::is_directory(folder);
  if (!recorded.has_run) {
    recorded.corpora = corpora_of(recorded.run.stream, FindShards::yes);
    return recorded;
  }
  check_stream_version(folder / "checkpoints");
  recorded.corpora = find_run_shards(recorded.run.stream, folder, true).corpora;
  if (!fs::exists(recorded.run.vocabulary)) recorded.run.vocabulary = vocabulary_beside(folder / "checkpoints" / "any");
  for_each_entry(folder / "positions.jsonl", [&](const JsonValue& line) { add_position(recorded.positions, line); });
  const auto length = static_cast<std::uint64_t>(recorded.run.stream.sequence_length);
  for_each_entry(folder / "metrics.jsonl", [&](const JsonValue& line) {
    if (line.has("tokens")) recorded.rows_trained = line.get<std::uint64_t>("tokens") / length;
  });
  return recorded;
}

}  // namespace millrace
