#include "trainer/checkpoint/train_state.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {
namespace {

constexpr const char* kStateFormat = "millrace-state";
constexpr int kStateVersion = 1;

/// Throws unless it is an evaluation's result for one corpus or for all.
void check_score(const JsonValue& score) {
  if (score.is_null()) return;
  (void)score.get<std::uint64_t>("tokens");
  for (const char* key : {"loss", "perplexity", "accuracy", "bits_per_byte"}) (void)score.get_or_null<double>(key);
  if (score.has("unigram_loss")) (void)score.get_or_null<double>("unigram_loss");
}

EvaluationLine evaluation_line(const JsonValue& json) {
  (void)json.get<std::uint64_t>("step");
  for (const auto& [corpus, score] : json.at("eval").members()) check_score(score);
  check_score(json.at("overall"));
  return std::make_shared<const Json>(json.json());
}

EvaluationLine line_or_none(const JsonValue& json) {
  return json.is_null() ? nullptr : evaluation_line(json);
}

void check_format(const JsonValue& json) {
  if (json.get<std::string>("format") != kStateFormat)
    json.at("format").fail(fmt::format("is not \"{}\"", kStateFormat));
  if (json.get<int>("version") != kStateVersion)
    json.at("version").fail(fmt::format("is {}, this program reads {}", json.get<int>("version"), kStateVersion));
}

void parse_progress(const JsonValue& json, TrainState& state) {
  state.step = json.get<std::uint64_t>("step");
  state.before = json.get("before", StepsBefore());
  if (state.before.steps > state.step || state.before.updates > state.before.steps)
    json.at("before").fail(
        fmt::format("has {} steps and {} updates, expected at most the step, {}, and no more updates",
                    state.before.steps, state.before.updates, state.step));
  state.skipped_steps = json.get<std::uint64_t>("skipped_steps", 0);
  if (state.skipped_steps > state.own_steps())
    json.at("skipped_steps")
        .fail(fmt::format("is {}, expected at most the run's own steps, {}", state.skipped_steps, state.own_steps()));
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

void TrainState::add_evaluation(const EvaluationLine& line) {
  if (!first_evaluation) first_evaluation = line;
  last_evaluation = line;
}

void TrainState::add_own_evaluation(const std::string& objective, const EvaluationLine& line) {
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

void to_json(Json& json, const StepsBefore& before) {
  json = {{"steps", before.steps}, {"updates", before.updates}};
}

void from_json(const JsonValue& json, StepsBefore& before) {
  before = {json.get<std::uint64_t>("steps"), json.get<std::uint64_t>("updates")};
}

void to_json(Json& json, const StepLoss& loss) {
  json = {{"step", loss.step}, {"loss", loss.loss}};
}

void from_json(const JsonValue& json, StepLoss& loss) {
  loss = {json.get<std::uint64_t>("step"), json.get<double>("loss")};
}

void to_json(Json& json, const RunTimes& times) {
  json = {{"wall", times.wall},
          {"data_wait", times.data_wait},
          {"evaluation", times.evaluation},
          {"checkpoint", times.checkpoint}};
}

void from_json(const JsonValue& json, RunTimes& times) {
  times = {json.get<double>("wall"), json.get<double>("data_wait"), json.get<double>("evaluation"),
           json.get<double>("checkpoint")};
}

void to_json(Json& json, const EvaluationLines& lines) {
  json = {{"objective", lines.objective}, {"first", lines.first}, {"last", lines.last}};
}

void from_json(const JsonValue& json, EvaluationLines& lines) {
  lines = {json.get<std::string>("objective"), evaluation_line(json.at("first")), evaluation_line(json.at("last"))};
}

void to_json(Json& json, const RunIdentity& identity) {
  json = {{"name", identity.name},
          {"program_version", identity.program_version},
          {"run_hash", identity.run_hash},
          {"vocabulary_hash", identity.vocabulary_hash},
          {"stream_version", identity.stream_version},
          {"processor", identity.processor},
          {"arithmetic_version", identity.arithmetic_version}};
}

void from_json(const JsonValue& json, RunIdentity& identity) {
  identity.name = json.get<std::string>("name");
  identity.program_version = json.get<std::string>("program_version");
  identity.run_hash = json.get<std::string>("run_hash");
  identity.vocabulary_hash = json.get<std::string>("vocabulary_hash");
  identity.stream_version = json.get<int>("stream_version");
  identity.processor = json.get<std::string>("processor");
  identity.arithmetic_version = json.get<int>("arithmetic_version", 1);
}

Json state_json(const TrainState& state, const RunIdentity& identity) {
  Json json{{"format", kStateFormat},
            {"version", kStateVersion},
            {"run", identity},
            {"step", state.step},
            {"skipped_steps", state.skipped_steps},
            {"bad_in_a_row", state.bad_in_a_row},
            {"position", state.position},
            {"ledger", state.ledger},
            {"longest_example", state.longest_example},
            {"first_loss", state.first_loss},
            {"best_loss", state.best_loss},
            {"last_loss", state.last_loss},
            {"evaluated_at", state.evaluated_at},
            {"first_evaluation", state.first_evaluation},
            {"last_evaluation", state.last_evaluation},
            {"own_evaluations", state.own_evaluations}};
  if (state.step_phase) json["step_phase"] = *state.step_phase;
  if (state.before.steps > 0) json["before"] = state.before;
  if (state.above_first_loss > 0) json["above_first_loss"] = state.above_first_loss;
  return json;
}

void parse_state_json(const JsonValue& json, TrainState& state, RunIdentity& identity) {
  check_format(json);
  identity = json.get<RunIdentity>("run");
  state = TrainState();
  parse_progress(json, state);
  state.bad_in_a_row = json.get<std::uint64_t>("bad_in_a_row", 0);
  // A position means nothing in another version of the stream, and may look another way.
  if (identity.stream_version == kStreamVersion) state.position = json.get_or_null<StreamPosition>("position");
  // Missing in checkpoints from before phases had keys of their own.
  if (state.position) state.step_phase = json.get("step_phase", state.position->phase);
  state.ledger = json.get<Ledger>("ledger");
  state.longest_example = json.get<std::vector<std::uint64_t>>("longest_example");
  state.first_loss = json.get_or_null<StepLoss>("first_loss");
  state.best_loss = json.get_or_null<StepLoss>("best_loss");
  state.last_loss = json.get_or_null<StepLoss>("last_loss");
  state.above_first_loss = json.get<std::uint64_t>("above_first_loss", 0);
  state.evaluated_at = json.get_or_null<std::uint64_t>("evaluated_at");
  state.first_evaluation = line_or_none(json.at("first_evaluation"));
  state.last_evaluation = line_or_none(json.at("last_evaluation"));
  // In checkpoints from before clock.json was.
  if (json.has("times")) parse_clock_json(json, state);
  // Missing in checkpoints of runs that were evaluated with causal prediction only.
  state.own_evaluations = json.get("own_evaluations", std::vector<EvaluationLines>());
}

Json clock_json(const TrainState& state) {
  return {{"times", state.times}, {"failed_saves", state.failed_saves}};
}

void parse_clock_json(const JsonValue& json, TrainState& state) {
  state.times = json.get<RunTimes>("times");
  state.failed_saves = json.get<std::uint64_t>("failed_saves", 0);
}

CheckpointSteps parse_steps(const JsonValue& json) {
  check_format(json);
  TrainState state;
  parse_progress(json, state);
  return {state.step, state.updates(), json.get<RunIdentity>("run").stream_version};
}

}  // namespace millrace
