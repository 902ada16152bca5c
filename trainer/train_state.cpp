#include "trainer/train_state.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "millrace-state";
constexpr int kVersion = 1;

Json to_json(const std::optional<StepLoss>& loss) {
  if (!loss) return nullptr;
  return {{"step", loss->step}, {"loss", loss->loss}};
}

std::optional<StepLoss> step_loss(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return StepLoss{json.at("step").get<std::uint64_t>(), json.at("loss").get<double>()};
}

Json parsed_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json::parse(text);
}
std::string dumped_or_empty(const Json& json) {
  return json.is_null() ? std::string() : json.dump();
}

std::string instruction_set() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16")) return "avx512_bf16";
  if (__builtin_cpu_supports("avx512f")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  if (__builtin_cpu_supports("avx")) return "avx";
  return "sse";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

}  // namespace

void TrainState::add(const StreamRow& row) {
  ledger.add(row);
  for (const ExampleOrigin& example : row.examples) {
    if (longest_example.size() <= example.phase) longest_example.resize(example.phase + 1);
    longest_example[example.phase] =
        std::max({longest_example[example.phase], example.raw_tokens, example.segment_tokens});
  }
  position = *row.after;
}

void TrainState::add(double loss) {
  last_loss = StepLoss{step, loss};
  if (!first_loss) first_loss = last_loss;
  above_first_loss = loss > first_loss->loss ? above_first_loss + 1 : 0;
  if (!best_loss || loss < best_loss->loss) best_loss = last_loss;
}

void TrainState::add_evaluation(const std::string& line) {
  if (first_evaluation.empty()) first_evaluation = line;
  last_evaluation = line;
}

void TrainState::add_own_evaluation(const std::string& objective, const std::string& line) {
  auto known = std::ranges::find(own_evaluations, objective, &EvaluationLines::objective);
  if (known == own_evaluations.end()) known = own_evaluations.insert(known, {objective, line, line});
  known->last = line;
}

std::string this_processor() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos)
      return instruction_set() + ", " + line.substr(colon + 2);
  }
  return instruction_set();
}

std::string state_json(const TrainState& state, const RunIdentity& identity) {
  Json own_evaluations = Json::array();
  for (const EvaluationLines& lines : state.own_evaluations)
    own_evaluations.push_back(
        {{"objective", lines.objective}, {"first", Json::parse(lines.first)}, {"last", Json::parse(lines.last)}});
  Json json{{"format", kFormat},
            {"version", kVersion},
            {"run",
             {{"name", identity.name},
              {"program_version", identity.program_version},
              {"run_hash", identity.run_hash},
              {"vocabulary_hash", identity.vocabulary_hash},
              {"stream_version", identity.stream_version},
              {"processor", identity.processor}}},
            {"step", state.step},
            {"skipped_steps", state.skipped_steps},
            {"bad_in_a_row", state.bad_in_a_row},
            {"position", state.position ? Json::parse(to_json(*state.position)) : Json(nullptr)},
            {"ledger", Json::parse(state.ledger.to_json())},
            {"longest_example", state.longest_example},
            {"first_loss", to_json(state.first_loss)},
            {"best_loss", to_json(state.best_loss)},
            {"last_loss", to_json(state.last_loss)},
            {"evaluated_at", state.evaluated_at ? Json(*state.evaluated_at) : Json(nullptr)},
            {"first_evaluation", parsed_or_null(state.first_evaluation)},
            {"last_evaluation", parsed_or_null(state.last_evaluation)},
            {"failed_saves", state.failed_saves},
            {"own_evaluations", own_evaluations},
            {"times",
             {{"wall", state.times.wall},
              {"data_wait", state.times.data_wait},
              {"evaluation", state.times.evaluation},
              {"checkpoint", state.times.checkpoint}}}};
  if (state.above_first_loss > 0) json["above_first_loss"] = state.above_first_loss;
  return json.dump(1) + "\n";
}

void parse_state_json(const std::string& text, const std::string& where, TrainState& state, RunIdentity& identity) {
  try {
    const Json json = Json::parse(text);
    if (json.at("format") != kFormat || json.at("version") != kVersion)
      throw ConfigError(fmt::format("{}: expected \"{}\" version {}", where, kFormat, kVersion));
    const Json& run = json.at("run");
    identity.name = run.at("name").get<std::string>();
    identity.program_version = run.at("program_version").get<std::string>();
    identity.run_hash = run.at("run_hash").get<std::string>();
    identity.vocabulary_hash = run.at("vocabulary_hash").get<std::string>();
    identity.stream_version = run.at("stream_version").get<int>();
    identity.processor = run.at("processor").get<std::string>();

    state = TrainState();
    state.step = json.at("step").get<std::uint64_t>();
    state.skipped_steps = json.value("skipped_steps", std::uint64_t{0});
    state.bad_in_a_row = json.value("bad_in_a_row", std::uint64_t{0});
    if (!json.at("position").is_null()) state.position = position_from_json(json.at("position").dump());
    state.ledger = Ledger::from_json(json.at("ledger").dump());
    state.longest_example = json.at("longest_example").get<std::vector<std::uint64_t>>();
    state.first_loss = step_loss(json.at("first_loss"));
    state.best_loss = step_loss(json.at("best_loss"));
    state.last_loss = step_loss(json.at("last_loss"));
    state.above_first_loss = json.value("above_first_loss", std::uint64_t{0});
    if (!json.at("evaluated_at").is_null()) state.evaluated_at = json.at("evaluated_at").get<std::uint64_t>();
    state.first_evaluation = dumped_or_empty(json.at("first_evaluation"));
    state.last_evaluation = dumped_or_empty(json.at("last_evaluation"));
    state.failed_saves = json.value("failed_saves", std::uint64_t{0});
    // Checkpoints of runs that were only evaluated with causal prediction have none.
    for (const Json& lines : json.value("own_evaluations", Json::array()))
      state.own_evaluations.push_back(
          {lines.at("objective").get<std::string>(), lines.at("first").dump(), lines.at("last").dump()});
    const Json& times = json.at("times");
    state.times = {times.at("wall").get<double>(), times.at("data_wait").get<double>(),
                   times.at("evaluation").get<double>(), times.at("checkpoint").get<double>()};
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError(fmt::format("{}: {}", where, error.what()));
  }
}

}  // namespace millrace
