#include "cli/report/report_data.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <optional>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "cli/console/messages.h"
#include "cli/report/report_metrics.h"
#include "cli/report/report_mixing.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/keys/key_rule.h"
#include "pipeline/shell_word.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/config/run_config.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_origin.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRejectsNamed = 20;

/// The run's summary.json, as far as it exists.
struct Summary {
  std::uint64_t steps = 0;
  std::string end;
  std::optional<double> seconds;
  Json versions;
};

/// A warning about an invalid file; the report is made without it.
Summary read_summary(const fs::path& file) {
  if (!fs::exists(file)) return {};
  try {
    const JsonValue json = JsonValue::read(file, "the report is made without it");
    Summary summary{json.get<std::uint64_t>("steps"), json.get<std::string>("end"), {}, {}};
    if (json.has("times")) summary.seconds = json.at("times").get<double>("wall_s");
    if (json.has("versions")) summary.versions = json.at("versions").json();
    return summary;
  } catch (const ConfigError& error) {
    say("{}", error.what());
    return {};
  }
}

/// A warning about an invalid run.json: the run's steps are then taken to begin at 0.
RunOrigin read_origin(const fs::path& folder) {
  try {
    return origin_in(folder);
  } catch (const ConfigError& error) {
    say("{}", error.what());
    return {};
  }
}

std::string status_of(const fs::path& folder, const Summary& summary, const RunMetrics& metrics) {
  if (is_held(folder)) return "running";
  const bool through = summary.end == "complete" || summary.end == "stream_ended";
  return through && summary.steps >= metrics.step ? "complete" : "interrupted";
}

/// {"router_z_loss_factor": 0.001}: the keys of its own that a phase trains with.
Json keys_json(const PhaseSettings& phase) {
  Json keys = Json::object();
  for (const auto* values : {&phase.model, &phase.train})
    for (const auto& [name, value] : *values) set_member(keys, name, value);
  return keys;
}

Json phases_json(const StreamConfig& stream, const std::vector<PhaseSettings>& settings, std::uint64_t first_step,
                 std::uint64_t positions_per_step) {
  Json phases = Json::array();
  std::uint64_t from = 0;
  for (const Phase& phase : stream.phases) {
    Json corpora = Json::object();
    Json denoisers = Json::object();
    for (const Corpus& corpus : phase.mix.corpora)
      corpora[corpus.name] = static_cast<double>(corpus.share) / static_cast<double>(kShareUnits);
    for (const Denoiser& denoiser : phase.objective.denoisers) denoisers[denoiser.name] = denoiser.share;
    const auto steps = [&](std::uint64_t positions) {
      return static_cast<double>(first_step) + static_cast<double>(positions) / static_cast<double>(positions_per_step);
    };
    phases.push_back({{"mix", phase.mix.name},
                      {"objective", phase.objective.name},
                      {"from_step", steps(from)},
                      {"to_step", steps(phase.until)},
                      {"corpora", corpora},
                      {"denoisers", denoisers},
                      {"keys", keys_json(settings.at(phases.size()))}});
    from = phase.until;
  }
  return phases;
}

/// What was changed during the run, and when; counts invalid lines. Older programs wrote neither step nor time.
Json changes_json(const fs::path& file, std::uint64_t& unreadable_lines) {
  Json changes = Json::array();
  for_each_line(file, [&](const std::string& line, std::uint64_t number) {
    try {
      const JsonValue change = JsonValue::parse(line, {file.string(), number, ""});
      changes.push_back({{"step", change.has("step") ? Json(change.get<std::uint64_t>("step")) : Json()},
                         {"time", change.has("time") ? Json(change.get<std::string>("time")) : Json()},
                         {"changes", change.get<std::vector<std::string>>("changes")},
                         {"free", change.get("free", std::vector<std::string>())}});
    } catch (const ConfigError&) {
      ++unreadable_lines;
    }
  });
  return changes;
}

/// {"counts": {CORPUS: {CAUSE: n}}, "first": [...]}; counts invalid lines.
Json rejects_json(const fs::path& file, std::uint64_t& unreadable_lines) {
  std::map<std::string, std::map<std::string, std::uint64_t>> counts;
  Json first = Json::array();
  for_each_line(file, [&](const std::string& line, std::uint64_t number) {
    try {
      const JsonValue reject = JsonValue::parse(line, {file.string(), number, ""});
      ++counts[reject.get<std::string>("corpus")][reject.get<std::string>("cause")];
      if (first.size() < kRejectsNamed) first.push_back(reject.json());
    } catch (const ConfigError&) {
      ++unreadable_lines;
    }
  });
  return {{"counts", counts}, {"first", first}};
}

std::string time_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "";
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(status.st_mtime));
}

/// By names and sizes, not by checksums: reading every byte of a large model takes minutes.
std::string visible_damage_of(const fs::path& folder) {
  const fs::path file = folder / "manifest.json";
  if (!fs::exists(file)) return "no manifest";
  try {
    const JsonValue manifest = JsonValue::parse(read_whole_file(file), {file.filename().string(), 0, ""});
    for (const auto& [name, entry] : manifest.at("files").members()) {
      std::error_code error;
      const std::uintmax_t bytes = fs::file_size(folder / name, error);
      if (error) return name + " is missing";
      if (entry.get<std::uint64_t>("bytes") != bytes) return name + " has another size";
    }
    return "";
  } catch (const std::exception& error) {  // The manifest is invalid or cannot be read.
    return error.what();
  }
}

Json checkpoints_json(const fs::path& parent) {
  Json checkpoints = Json::array();
  for (const std::uint64_t step : checkpoint_steps(parent)) {
    const fs::path folder = checkpoint_path(parent, step);
    std::uint64_t bytes = 0;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
      if (entry.is_regular_file(error)) bytes += entry.file_size(error);
    Json checkpoint{{"step", step},
                    {"name", folder.filename().string()},
                    {"bytes", bytes},
                    {"written", time_of(folder)},
                    {"damage", visible_damage_of(folder)}};
    if (fs::exists(folder, error)) checkpoints.push_back(std::move(checkpoint));  // Else the run has removed it.
  }
  return checkpoints;
}

Json settings_json(const RunConfig& run) {
  Json files = Json::array();
  for (const auto& [name, text] : run.resolved) files.push_back({{"file", name}, {"text", text}});
  return files;
}

}  // namespace

void require_run(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw ConfigError(fmt::format("{}: no such folder", folder.string()));
  if (!holds_run(folder) && !fs::exists(folder / "run.toml"))
    throw ConfigError(
        fmt::format("{}: not a run folder: it has no run.toml. `millrace train` makes run folders", folder.string()));
}

std::string report_json(const fs::path& folder) {
  require_run(folder);
  const RunConfig run = load_run({folder.string(), "", {}});
  const StreamConfig stream = trained_stream(run);
  const std::uint64_t positions_per_step =
      static_cast<std::uint64_t>(run.train.batch_rows) * static_cast<std::uint64_t>(stream.sequence_length);
  const RunMetrics metrics = read_metrics(folder / "metrics.jsonl", stream.phases);
  const Summary summary = read_summary(folder / "summary.json");
  const std::string status = status_of(folder, summary, metrics);
  const RunOrigin origin = read_origin(folder);
  const std::uint64_t step = std::max(origin.first_step(), metrics.step);
  const std::uint64_t total = origin.first_step() + run.train.tokens / positions_per_step;
  const double seconds_left = static_cast<double>(total - std::min(total, step)) * metrics.step_seconds;

  std::uint64_t unreadable_lines = metrics.unreadable_lines;
  const Json rejects = rejects_json(folder / "rejects.jsonl", unreadable_lines);
  const Json changes = changes_json(folder / "changes.jsonl", unreadable_lines);
  const std::string command_word = shell_word(fs::absolute(folder).lexically_normal().string());
  Json skipped = Json::array();
  for (const auto& [at, reason] : metrics.first_skipped) skipped.push_back({{"step", at}, {"reason", reason}});
  return json_line(
      Json{{"name", stream.name},
           {"folder", fs::absolute(folder).lexically_normal().string()},
           {"resume", "millrace train " + command_word + " --resume"},
           {"measure_mixing", "millrace report " + command_word + " --mixing"},
           {"program", MILLRACE_VERSION},
           {"written", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::chrono::system_clock::now()))},
           {"status", status},
           {"from", origin},
           {"step", step},
           {"total_steps", total},
           {"tokens", metrics.tokens},
           {"total_tokens", run.train.tokens},
           {"raw_tokens", metrics.raw_tokens},
           {"loss_tokens", metrics.loss_tokens},
           {"loss", metrics.last_loss ? Json(*metrics.last_loss) : Json()},
           {"tokens_per_s",
            metrics.step_seconds > 0 ? Json(static_cast<double>(positions_per_step) / metrics.step_seconds) : Json()},
           {"seconds", status == "complete" ? summary.seconds.value_or(metrics.seconds) : metrics.seconds},
           {"seconds_left", status == "running" && metrics.step_seconds > 0 ? Json(seconds_left) : Json()},
           {"skipped", {{"count", metrics.skipped}, {"first", skipped}}},
           {"unreadable_lines", unreadable_lines},
           {"sequence_length", stream.sequence_length},
           {"batch_rows", run.train.batch_rows},
           {"phases", phases_json(stream, run.phases, origin.first_step(), positions_per_step)},
           {"mixing", mixing_for_report(folder, run, origin.first_step())},
           {"changes", changes},
           {"rejects", rejects},
           {"checkpoints", checkpoints_json(folder / "checkpoints")},
           {"settings", settings_json(run)},
           {"versions", summary.versions},
           {"metrics", metrics.json()}});
}

}  // namespace millrace
