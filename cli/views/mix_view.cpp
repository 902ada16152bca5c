#include "cli/views/mix_view.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "cli/views/compute_view.h"
#include "cli/views/index_hint.h"
#include "cli/views/memory_view.h"
#include "cli/views/order_view.h"
#include "pipeline/json_text.h"
#include "pipeline/plan/forecast_json.h"

namespace millrace {
namespace {

std::string available_cell(const AvailableTokens& available) {
  const std::string tokens = human_count(available.tokens);
  if (available.error == 0) return tokens;
  return fmt::format("{} ±{:.{}f} %", tokens, 100 * available.error, available.error < 0.1 ? 1 : 0);
}

/// One row per corpus; columns without known values are omitted.
std::string corpus_table(const ForecastRequest& request, const MixForecast& forecast) {
  const bool counted = !forecast.inputs.available.empty();
  const bool consumed = !forecast.inputs.phases.empty();
  std::vector<TextTable::Column> columns{{"corpus", Align::left}, {"kind", Align::left}, {"share"}};
  if (request.horizon > 0) columns.push_back({"tokens"});
  if (request.has_data()) columns.insert(columns.end(), {{"shards"}, {"bytes"}});
  if (counted) columns.insert(columns.end(), {{"layout", Align::left}, {"available"}});
  if (consumed) columns.insert(columns.end(), {{"raw tokens"}, {"epochs"}, {"seen once, or closed, at"}});
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < forecast.corpora.size(); ++i) {
    const RunCorpus& corpus = forecast.corpora[i];
    const CorpusPlan& planned = forecast.plan.corpora[i];
    std::vector<std::string> cells{corpus.corpus.name, name_of(corpus.corpus.kind),
                                   fmt::format("{:.4g} %", 100 * forecast.share(i))};
    if (request.horizon > 0) cells.push_back(human_count(planned.positions));
    if (request.has_data()) {
      cells.push_back(fmt::format("{}", corpus.shards.size()));
      cells.push_back(human_bytes(static_cast<double>(forecast.bytes[i])));
    }
    if (counted) {
      cells.push_back(fmt::format("{}", fmt::join(forecast.available(i)->layouts, ", ")));
      cells.push_back(available_cell(*forecast.available(i)));
    }
    if (consumed) {
      cells.push_back(human_count(planned.raw_tokens.value_or(0)));
      cells.push_back(planned.epochs ? fmt::format("{:.3g}", *planned.epochs) : "-");
      cells.push_back(planned.exhausted_at ? human_count(*planned.exhausted_at) : "-");
    }
    table.add(std::move(cells));
  }
  return table.text();
}

/// Share, positions and, where known, epochs of each corpus in each phase.
std::string phase_table(const MixForecast& forecast) {
  const bool epochs = !forecast.inputs.phases.empty();
  std::vector<TextTable::Column> columns{{"in phase", Align::left}};
  for (std::size_t p = 1; p <= forecast.plan.phases.size(); ++p) {
    columns.insert(columns.end(), {{fmt::format("{}: share", p)}, {"tokens"}});
    if (epochs) columns.push_back({"epochs"});
  }
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < forecast.corpora.size(); ++i) {
    std::vector<std::string> cells{forecast.corpora[i].corpus.name};
    for (const PhaseTake& taken : forecast.plan.phases) {
      const bool consumed = taken.positions[i] > 0;
      cells.push_back(consumed ? fmt::format("{:.4g} %", 100 * taken.positions[i] / (taken.to - taken.from)) : "-");
      cells.push_back(consumed ? human_count(taken.positions[i]) : "-");
      const std::optional<double> rounds = forecast.epochs(taken, i);
      if (epochs) cells.push_back(consumed && rounds ? fmt::format("{:.3g}", *rounds) : "-");
    }
    table.add(std::move(cells));
  }
  return table.text();
}

/// Where the numbers come from, and what would make them more exact.
std::string provenance(const MixView& view) {
  const ForecastRequest& request = view.request;
  const MixForecast& forecast = view.forecast;
  if (!request.has_data()) return "no --data folder given: shards were not looked for\n";
  if (forecast.inputs.available.empty()) {
    return view.vocabulary.empty()
               ? "available tokens: not counted; name a vocabulary with --vocab\n"
               : fmt::format("available tokens: not counted; there is no vocabulary {}\n", view.vocabulary.string());
  }
  const auto from_manifest = std::ranges::count_if(forecast.inputs.available, &AvailableTokens::from_manifest);
  const bool all = static_cast<std::size_t>(from_manifest) == forecast.corpora.size();
  if (all) return fmt::format("available tokens: counted by {}\n", forecast.manifest->string());
  std::string text = "available tokens: estimated from a sample (± half the 95 % interval; without ±: all was read)";
  if (forecast.manifest)
    text += fmt::format("; {} of {} corpora by {}, which has no current count of the others", from_manifest,
                        forecast.corpora.size(), forecast.manifest->string());
  return text + "\n" + index_hint(request.stream, forecast.corpora, forecast.inputs.available, view.vocabulary);
}

}  // namespace

std::string MixView::text() const {
  std::string out;
  for (std::size_t p = 0; request.has_objectives() && p < forecast.plan.phases.size(); ++p) {
    const Phase& phase = request.stream.phases[p];
    const PhaseTake& taken = forecast.plan.phases[p];
    out += fmt::format("phase {}: {} to {} positions, mix {}, objective {}\n", p + 1, human_count(taken.from),
                       human_count(taken.to), phase.mix.name, phase.objective.name);
  }
  out += corpus_table(request, forecast);
  if (forecast.plan.phases.size() > 1) out += phase_table(forecast);
  double code = 0;
  for (std::size_t i = 0; i < forecast.corpora.size(); ++i) {
    if (forecast.corpora[i].corpus.kind == CorpusKind::code) code += forecast.share(i);
  }
  out += fmt::format("code {:.4g} %, text {:.4g} %\n", 100 * code, 100 * (1 - code));
  if (request.horizon > 0 && forecast.plan.positions < request.horizon)
    out += fmt::format("the stream ends at {} positions: a corpus with at_end = \"stop\" is used up\n",
                       human_count(forecast.plan.positions));
  for (const std::string& line : passed_over(forecast.corpora)) out += line + "\n";
  out += provenance(*this);
  if (!reading.empty()) out += "\n" + order_table(forecast.corpora, reading);
  if (parameters) out += "\n" + compute_table(*parameters, forecast.plan.positions);
  if (memory) out += "\n" + memory_table(*memory, machine);
  if (!memory_advice.empty()) out += fmt::format("this machine has too little: {}\n", memory_advice);
  return out;
}

std::string MixView::json() const {
  Json all = forecast_json(request, forecast, reading);
  all["parameters"] = parameters ? compute_json(*parameters, forecast.plan.positions) : Json();
  all["memory"] = memory ? memory_json(*memory, machine) : Json();
  return json_page(all);
}

}  // namespace millrace
