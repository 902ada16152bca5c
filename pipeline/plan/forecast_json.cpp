#include "pipeline/plan/forecast_json.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "pipeline/json_text.h"

namespace millrace {
namespace {

Json order_json(const std::vector<RunCorpus>& corpora, const std::vector<ReadingPlan>& plans) {
  Json all = Json::array();
  for (std::size_t i = 0; i < corpora.size(); ++i)
    all.push_back({{"name", corpora[i].corpus.name},
                   {"shards_at_once", plans[i].lanes},
                   {"window_tokens", plans[i].window},
                   {"memory_bytes", plans[i].memory_bytes()},
                   {"replay_bytes", plans[i].replay_bytes()}});
  return all;
}

}  // namespace

const char* name_of(CorpusKind kind) {
  return kind == CorpusKind::code ? "code" : "text";
}

Json forecast_json(const ForecastRequest& request, const MixForecast& forecast,
                   const std::vector<ReadingPlan>& reading) {
  Json phases = Json::array();
  for (std::size_t p = 0; p < forecast.plan.phases.size(); ++p) {
    const Phase& phase = request.stream.phases[p];
    const PhaseTake& taken = forecast.plan.phases[p];
    Json corpora = Json::array();
    for (std::size_t i = 0; request.horizon > 0 && i < forecast.corpora.size(); ++i) {
      if (taken.positions[i] == 0) continue;
      corpora.push_back({{"name", forecast.corpora[i].corpus.name},
                         {"share", taken.positions[i] / (taken.to - taken.from)},
                         {"tokens", taken.positions[i]},
                         {"raw_tokens", Json(taken.raw_tokens[i])},
                         {"epochs", Json(forecast.epochs(taken, i))}});
    }
    const std::string& objective = phase.objective.name;
    const bool to_horizon = request.horizon > 0;
    phases.push_back({{"from_tokens", to_horizon ? static_cast<std::uint64_t>(taken.from) : 0},
                      {"to_tokens", to_horizon ? static_cast<std::uint64_t>(std::llround(taken.to)) : 0},
                      {"mix", phase.mix.name},
                      {"objective", objective.empty() ? Json() : Json(objective)},
                      {"corpora", corpora}});
  }
  Json corpora = Json::array();
  Json by_kind{{"text", 0.0}, {"code", 0.0}};
  for (std::size_t i = 0; i < forecast.corpora.size(); ++i) {
    const RunCorpus& corpus = forecast.corpora[i];
    const CorpusPlan& planned = forecast.plan.corpora[i];
    const AvailableTokens* available = forecast.available(i);
    Json& kind = by_kind[name_of(corpus.corpus.kind)];
    kind = kind.get<double>() + (request.horizon > 0 ? planned.positions : forecast.share(i));
    corpora.push_back({{"name", corpus.corpus.name},
                       {"kind", name_of(corpus.corpus.kind)},
                       {"share", forecast.share(i)},
                       {"shards", request.has_data() ? Json(corpus.shards.size()) : Json()},
                       {"bytes", request.has_data() ? Json(forecast.bytes[i]) : Json()},
                       {"passed_over", request.has_data() ? Json(corpus.passed_over) : Json()},
                       {"layouts", available != nullptr ? Json(available->layouts) : Json()},
                       {"tokens", request.horizon > 0 ? Json(planned.positions) : Json()},
                       {"raw_tokens", request.horizon > 0 ? Json(planned.raw_tokens) : Json()},
                       {"available_tokens", available != nullptr ? Json(available->tokens) : Json()},
                       {"available_error", available != nullptr ? Json(available->error) : Json()},
                       {"from_manifest", available != nullptr ? Json(available->from_manifest) : Json()},
                       {"epochs", request.horizon > 0 ? Json(planned.epochs) : Json()},
                       {"exhausted_at", request.horizon > 0 ? Json(planned.exhausted_at) : Json()}});
  }
  return {{"total_tokens", static_cast<std::uint64_t>(request.horizon)},
          {"ends_at", request.horizon > 0 ? Json(forecast.plan.positions) : Json()},
          {"phases", phases},
          {"corpora", corpora},
          {"by_kind", by_kind},
          {"order", reading.empty() ? Json() : order_json(forecast.corpora, reading)}};
}

}  // namespace millrace
