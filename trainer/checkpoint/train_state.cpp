#include "trainer/checkpoint/train_state.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_value.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "millrace-state";
constexpr int kVersion = 1;

Json to_json(const std::optional<StepLoss>& loss) {
  if (!loss) return nullptr;
  return {{"step", loss->step}, {"loss", loss->loss}};
}

std::optional<StepLoss> step_loss(const JsonValue& state, const char* key) {
  const JsonValue json = state.at(key);
  if (json.is_null()) return std::nullopt;
  return StepLoss{json.get<std::uint64_t>("step"), json.get<double>("loss")};
}

Json parsed_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json::parse(text);
}

/// Fails if it is not what an evaluation says of a corpus, or of all.
void check_score(const JsonValue& score) {
  if (score.is_null()) return;
  (void)score.get<std::uint64_t>("tokens");
  for (const char* key : {"loss", "perplexity", "accuracy", "bits_per_byte"}) (void)score.get_or_null<double>(key);
  if (score.has("unigram_loss")) (void)score.get_or_null<double>("unigram_loss");
}

/// The line of an evaluation as metrics.jsonl has it.
std::string evaluation_line(const JsonValue& json) {
  (void)json.get<std::uint64_t>("step");
  for (const auto& [corpus, score] : json.at("eval").members()) check_score(score);
  check_score(json.at("overall"));
  return json.text();
}

std::string line_or_empty(const JsonValue& json) {
  return json.is_null() ? std::string() : evaluation_line(json);
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

void parse_state_json(const JsonValue& json, TrainState& state, RunIdentity& identity) {
  if (json.get<std::string>("format") != kFormat) json.at("format").fail(fmt::format("is not \"{}\"", kFormat));
  if (json.get<int>("version") != kVersion)
    json.at("version").fail(fmt::format("is {}, this program reads {}", json.get<int>("version"), kVersion));
  const JsonValue run = json.at("run");
  identity.name = run.get<std::string>("name");
  identity.program_version = run.get<std::string>("program_version");
  identity.run_hash = run.get<std::string>("run_hash");
  identity.vocabulary_hash = run.get<std::string>("vocabulary_hash");
  identity.stream_version = run.get<int>("stream_version");
  identity.processor = run.get<std::string>("processor");

  state = TrainState();
  state.step = json.get<std::uint64_t>("step");
  state.skipped_steps = json.get<std::uint64_t>("skipped_steps", 0);
  if (state.skipped_steps > state.step)
    json.at("skipped_steps").fail(fmt::format("is {}, expected at most the step, {}", state.skipped_steps, state.step));
  state.bad_in_a_row = json.get<std::uint64_t>("bad_in_a_row", 0);
  if (const JsonValue position = json.at("position"); !position.is_null())
    state.position = position_from_json(position);
  state.ledger = Ledger::from_json(json.at("ledger"));
  state.longest_example = json.get<std::vector<std::uint64_t>>("longest_example");
  state.first_loss = step_loss(json, "first_loss");
  state.best_loss = step_loss(json, "best_loss");
  state.last_loss = step_loss(json, "last_loss");
  state.above_first_loss = json.get<std::uint64_t>("above_first_loss", 0);
  state.evaluated_at = json.get_or_null<std::uint64_t>("evaluated_at");
  state.first_evaluation = line_or_empty(json.at("first_evaluation"));
  state.last_evaluation = line_or_empty(json.at("last_evaluation"));
  state.failed_saves = json.get<std::uint64_t>("failed_saves", 0);
  // Checkpoints of runs that were only evaluated with causal prediction have none.
  if (json.has("own_evaluations"))
    for (const JsonValue& lines : json.at("own_evaluations").elements())
      state.own_evaluations.push_back(
          {lines.get<std::string>("objective"), evaluation_line(lines.at("first")), evaluation_line(lines.at("last"))});
  const JsonValue times = json.at("times");
  state.times = {times.get<double>("wall"), times.get<double>("data_wait"), times.get<double>("evaluation"),
                 times.get<double>("checkpoint")};
}

}  // namespace millrace
