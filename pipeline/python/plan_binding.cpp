#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <pybind11/stl.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/json_text.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/plan/forecast_json.h"
#include "pipeline/python/bindings.h"
#include "pipeline/python/interruptible.h"
#include "pipeline/python/opened_run.h"
#include "pipeline/python/own_process.h"
#include "pipeline/reading/lanes.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
namespace py = pybind11;

/// As `millrace mix plan --json`, without what a model takes. `tokens` of 0: a run's own, of a mix none.
Json forecast(const RunToOpen& source, std::uint64_t tokens, const std::string& vocabulary_file,
              const std::atomic<bool>& interrupted) {
  ForecastRequest request;
  fs::path vocabulary = vocabulary_file;
  const bool is_mix = fs::is_regular_file(source.file) && !ConfigTable::read(source.file, {}).has("phase");
  if (is_mix) {
    Phase phase;
    phase.mix = read_mix(ConfigTable::read(source.file, source.sets));
    phase.until = tokens;
    if (!source.data.empty()) request.stream.data_directory = fs::absolute(source.data).lexically_normal().string();
    request.stream.phases.push_back(std::move(phase));
    request.horizon = static_cast<double>(tokens);
  } else {
    StreamOfRun run = open_run(source);
    request.stream = std::move(run.stream);
    request.horizon = static_cast<double>(tokens > 0 ? tokens : request.stream.phases.back().until);
    if (vocabulary.empty() && request.has_data() && fs::exists(run.vocabulary)) vocabulary = run.vocabulary;
  }
  std::optional<Vocabulary> opened;
  if (!vocabulary.empty()) opened.emplace(vocabulary);
  const MixForecast forecast =
      forecast_mix(request, opened ? &*opened : nullptr, {.interrupted = [&] { return interrupted.load(); }});
  std::vector<ReadingPlan> reading;
  if (!is_mix && request.has_data()) reading = reading_plans(request.stream, forecast.corpora);
  return forecast_json(request, forecast, reading);
}

}  // namespace

void bind_plan(py::module_& module) {
  module.def("mix_plan", [](std::string run, std::string data, std::vector<std::string> sets, std::uint64_t tokens,
                            const std::string& vocabulary) {
    const RunToOpen source{std::move(run), std::move(data), std::move(sets)};
    begin_to_use_threads();
    std::string json;
    run_interruptibly([&](const std::atomic<bool>& interrupted) {
      json = json_line(forecast(source, tokens, vocabulary, interrupted));
    });
    return json;
  });
}

}  // namespace millrace
