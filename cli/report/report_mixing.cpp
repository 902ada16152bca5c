#include "cli/report/report_mixing.h"

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/console/messages.h"
#include "cli/report/report_curves.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "millrace-mixing";
constexpr std::uint64_t kVersion = 1;
constexpr std::size_t kMostWindows = 1024;

struct MixingFile {
  std::string run_hash;
  MixingRecord record;
};

/// As the run folder's other files that the page can do without.
std::optional<MixingFile> read_mixing(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  try {
    const JsonValue json = JsonValue::read(file, "the report is made without it; --mixing measures again");
    if (json.get<std::string>("format") != kFormat) json.at("format").fail(fmt::format("expected \"{}\"", kFormat));
    if (json.get<std::uint64_t>("version") != kVersion)
      json.at("version").fail(fmt::format("is of another program, expected {}", kVersion));
    return MixingFile{json.get<std::string>("run_hash"), json.get<MixingRecord>("mixing")};
  } catch (const ConfigError& error) {
    say("{}", error.what());
    return std::nullopt;
  }
}

/// The step at whose end so many rows were trained on.
using StepOfRow = std::function<std::uint64_t(std::uint64_t rows)>;

/// Distances by one property, of all corpora that have it: curves over the steps at which windows end.
class SpreadCurves {
 public:
  explicit SpreadCurves(std::string by) : by_(std::move(by)) {}

  void add(const std::string& corpus, const WindowSpread& spread) {
    for (const RowWindow& window : spread.windows) {
      from_rows_[window.end_row].emplace_back(corpus, window.from_rows);
      if (window.from_epoch) from_epoch_[window.end_row].emplace_back(corpus, *window.from_epoch);
    }
  }

  Json json(const StepOfRow& step_of) const {
    return {{"by", by_},
            {"from_rows", curves(from_rows_, step_of)},
            {"from_epoch", from_epoch_.empty() ? Json() : curves(from_epoch_, step_of)}};
  }

 private:
  using Windows = std::map<std::uint64_t, std::vector<std::pair<std::string, BesideShuffled>>>;  ///< By their end.

  static Json curves(const Windows& windows, const StepOfRow& step_of) {
    ThinnedCurves curves(kMostWindows);
    for (const auto& [end_row, distances] : windows) {
      curves.begin_row(step_of(end_row));
      for (const auto& [corpus, distance] : distances) {
        curves.add("found/" + corpus, distance.found);
        curves.add("shuffled/" + corpus, distance.shuffled);
      }
    }
    return curves.json();
  }

  std::string by_;
  Windows from_rows_;
  Windows from_epoch_;
};

Json curves_json(const MixingRecord& record, const StepOfRow& step_of) {
  std::vector<SpreadCurves> all;
  for (const auto& [name, mixing] : record.corpora) {
    for (std::size_t i = 0; i < mixing.spreads.size(); ++i) {
      if (i == all.size()) all.emplace_back(mixing.spreads[i].property);
      all[i].add(name, mixing.spreads[i]);
    }
  }
  Json json = Json::array();
  for (const SpreadCurves& curves : all) json.push_back(curves.json(step_of));
  return json;
}

}  // namespace

fs::path mixing_file(const fs::path& run_folder) {
  return run_folder / "mixing.json";
}

std::string mixing_file_text(const MixingRecord& record, const RunConfig& run) {
  return json_line(Json{
             {"format", kFormat}, {"version", kVersion}, {"run_hash", run_hash(run.resolved)}, {"mixing", record}}) +
         "\n";
}

Json mixing_for_report(const fs::path& run_folder, const RunConfig& run, std::uint64_t first_step) {
  const std::optional<MixingFile> file = read_mixing(mixing_file(run_folder));
  if (!file) return {};
  Json json = file->record;
  for (Json& corpus : json["corpora"])
    for (Json& spread : corpus["distances"]) spread["windows"] = spread["windows"].size();
  json["run_changed"] = file->run_hash != run_hash(run.resolved);
  json["advice"] = mixing_advice(file->record);
  const auto batch_rows = static_cast<std::uint64_t>(run.train.batch_rows);
  const auto step_of = [&](std::uint64_t rows) { return first_step + (rows + batch_rows - 1) / batch_rows; };
  json["curves"] = file->record.has_distances() ? curves_json(file->record, step_of) : Json::array();
  return json;
}

}  // namespace millrace
