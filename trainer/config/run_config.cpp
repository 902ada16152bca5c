#include "trainer/config/run_config.h"

#include <cstdlib>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "pipeline/config/config_table.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/toml_writer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::uint64_t kLargestInt = std::numeric_limits<int>::max();
constexpr std::uint64_t kMostBatchRows = 1 << 24;
constexpr std::uint64_t kMostShuffled = std::uint64_t{1} << 31;     ///< Records: permutations count in 32 bits.
constexpr std::uint64_t kMostRecordBytes = std::uint64_t{1} << 32;  ///< What the JSON parser can hold.
constexpr double kLeastEps = 1e-30;                                 ///< Is not 0 in f32.

std::vector<Phase> read_phases(const ConfigTable& run) {
  std::vector<Phase> phases;
  for (const ConfigTable& table : run.tables("phase")) {
    Phase phase;
    phase.until = table.count("until");
    if (phase.until <= (phases.empty() ? 0 : phases.back().until))
      table.fail("until", "is not beyond the phase before; it counts positions from the run's beginning");
    phase.mix = load_mix(table.path("mix"));
    phase.objective = load_objective(table.path("objective"));
    table.refuse_unknown_keys();
    phases.push_back(std::move(phase));
  }
  if (phases.empty()) run.fail("phase", "is missing: a run needs at least one [[phase]] with until, mix and objective");
  return phases;
}

void read_data(const ConfigTable& table, StreamConfig& stream) {
  stream.holdout = table.number("holdout", stream.holdout, NumberRange{0, 1});
  if (stream.holdout >= 1) table.fail("holdout", fmt::format("is {}, expected at least 0 and below 1", stream.holdout));
  stream.shuffle_block = table.count("shuffle_block", stream.shuffle_block, WholeRange{1, kMostShuffled});
  stream.shuffle_bytes = table.count("shuffle_bytes", stream.shuffle_bytes, WholeRange{.least = 1});
  stream.sampling =
      table.choice("sampling", "quota", {"quota", "random"}) == "random" ? Sampling::random : Sampling::quota;
  stream.on_bad_data =
      table.choice("on_bad_data", "skip", {"skip", "fail"}) == "fail" ? OnBadData::fail : OnBadData::skip;
  stream.max_bad_fraction = table.number("max_bad_fraction", stream.max_bad_fraction, NumberRange{0, 1});
  stream.allow_unreadable = table.texts("allow_unreadable");
  stream.max_record_bytes = table.count("max_record_bytes", stream.max_record_bytes, WholeRange{1, kMostRecordBytes});
  // An empty one is the current folder, as none is: a run folder names it so.
  if (!table.text("directory", "").empty()) stream.data_directory = table.path("directory").string();
  table.refuse_unknown_keys();
}

/// Takes the key's number where it is there.
void override_number(const ConfigTable& table, const char* key, double& value, NumberRange range = {}) {
  value = table.number(key, value, range);
}
void override_number(const ConfigTable& table, const char* key, int& value, WholeRange range = {.most = kLargestInt}) {
  if (table.has(key)) value = static_cast<int>(table.count(key, range));
}

ModelConfig read_model(const ConfigTable& table) {
  ModelConfig model;
  const std::string preset = table.text("preset", "openmoe-base");
  try {
    model = model_preset(preset);
  } catch (const std::invalid_argument& error) {
    table.fail("preset", error.what());
  }
  model.vocab_size = 0;
  override_number(table, "vocab_size", model.vocab_size);
  override_number(table, "hidden_size", model.hidden_size);
  override_number(table, "intermediate_size", model.intermediate_size);
  override_number(table, "num_hidden_layers", model.num_hidden_layers);
  override_number(table, "num_attention_heads", model.num_attention_heads);
  override_number(table, "head_dim", model.head_dim);
  override_number(table, "max_position_embeddings", model.max_position_embeddings);
  override_number(table, "rms_norm_eps", model.rms_norm_eps);
  override_number(table, "rope_theta", model.rope_theta);
  override_number(table, "num_experts", model.num_experts);
  override_number(table, "moe_layer_interval", model.moe_layer_interval);
  override_number(table, "router_topk", model.router_topk);
  override_number(table, "router_capacity_factor_train", model.router_capacity_factor_train);
  override_number(table, "router_capacity_factor_eval", model.router_capacity_factor_eval);
  override_number(table, "router_min_capacity", model.router_min_capacity);
  override_number(table, "router_group_size", model.router_group_size);
  override_number(table, "router_aux_loss_factor", model.router_aux_loss_factor);
  override_number(table, "router_z_loss_factor", model.router_z_loss_factor);
  override_number(table, "z_loss_factor", model.z_loss_factor);
  model.pads_routed = table.flag("pads_routed", model.pads_routed);
  if (table.has("capacity_rule")) {
    const std::string rule = table.choice("capacity_rule", "", {"colossalai", "flaxformer", "dropless"});
    model.capacity_rule = rule == "colossalai"   ? CapacityRule::colossalai
                          : rule == "flaxformer" ? CapacityRule::flaxformer
                                                 : CapacityRule::dropless;
  }
  table.refuse_unknown_keys();
  return model;
}

/// Keys that would do nothing are refused.
void refuse_without(const ConfigTable& table, const char* what, const std::vector<const char*>& keys) {
  for (const char* key : keys)
    if (table.has(key)) table.fail(key, fmt::format("does nothing without {}", what));
}

void read_optimizer(const ConfigTable& table, TrainConfig& train) {
  const std::vector<const char*> of_adamw{"beta1", "beta2", "eps", "weight_decay"};
  train.optimizer = table.choice("optimizer", train.optimizer, {"adafactor", "adamw"});
  if (train.optimizer == "adamw") {
    for (const auto& [key, beta] : {std::pair("beta1", &train.beta1), std::pair("beta2", &train.beta2)}) {
      *beta = table.number(key, *beta, NumberRange{});
      if (*beta >= 1) table.fail(key, fmt::format("is {}, expected a number from 0 to below 1", *beta));
    }
    train.eps = table.number("eps", train.eps, NumberRange{.least = kLeastEps});
    train.weight_decay = table.number("weight_decay", train.weight_decay, NumberRange{});
    if (!table.has("learning_rate"))
      table.fail("learning_rate", "is missing: the default is Adafactor's, which is relative to a parameter's size");
  } else {
    refuse_without(table, "optimizer = \"adamw\"", of_adamw);
  }
  train.clip_norm = table.number("clip_norm", train.clip_norm, NumberRange{});
}

void read_schedule(const ConfigTable& table, TrainConfig& train) {
  train.schedule = table.choice("schedule", train.schedule, {"rsqrt", "constant", "cosine", "wsd"});
  if (train.schedule != "rsqrt" && !table.has("learning_rate"))
    table.fail("learning_rate", fmt::format("is missing: only schedule \"rsqrt\" has a default, {}; \"{}\" is a rate "
                                            "that each run has to name",
                                            train.learning_rate, train.schedule));
  train.learning_rate = table.number("learning_rate", train.learning_rate, NumberRange{});
  override_number(table, "warmup_steps", train.warmup_steps);
  const bool is_wsd = train.schedule == "wsd";
  if (is_wsd || train.schedule == "cosine") {
    train.final_learning_rate = table.number("final_learning_rate", train.final_learning_rate, NumberRange{});
  } else {
    refuse_without(table, "schedule = \"cosine\" or \"wsd\"", {"final_learning_rate"});
  }
  if (is_wsd) {
    train.decay_share = table.number("decay_share", train.decay_share, NumberRange{0, 1});
  } else {
    refuse_without(table, "schedule = \"wsd\"", {"decay_share"});
  }
}

TrainConfig read_training(const ConfigTable& run) {
  TrainConfig train;
  const ConfigTable table = run.table("train");
  override_number(table, "batch_rows", train.batch_rows, {1, kMostBatchRows});
  override_number(table, "micro_rows", train.micro_rows, {0, kMostBatchRows});
  if (train.micro_rows == 0) train.micro_rows = train.batch_rows;
  if (train.batch_rows % train.micro_rows != 0)
    table.fail("micro_rows",
               fmt::format("is {}, which does not divide batch_rows = {}", train.micro_rows, train.batch_rows));
  train.tokens = table.count("tokens", 0);
  read_optimizer(table, train);
  read_schedule(table, train);
  override_number(table, "max_bad_steps", train.max_bad_steps, {1, kLargestInt});
  train.precision = resolved_precision(table.choice("precision", train.precision, {"auto", "bf16", "f32"}));
  train.recompute = table.flag("recompute", train.recompute);
  table.refuse_unknown_keys();

  const ConfigTable eval = run.table("eval");
  train.eval_every_steps = eval.count("every_steps", train.eval_every_steps);
  train.eval_tokens = eval.count("tokens", train.eval_tokens);
  eval.refuse_unknown_keys();

  const ConfigTable checkpoint = run.table("checkpoint");
  train.checkpoint_every_steps = checkpoint.count("every_steps", train.checkpoint_every_steps);
  override_number(checkpoint, "keep_last", train.keep_last, {1, kLargestInt});
  train.keep_every_tokens = checkpoint.count("keep_every_tokens", train.keep_every_tokens);
  checkpoint.refuse_unknown_keys();

  const ConfigTable log = run.table("log");
  train.details_every_steps = log.count("details_every_steps", train.details_every_steps);
  log.refuse_unknown_keys();
  return train;
}

/// Keys that came later stand there only where they are not as they always were: older run folders go on.
std::string model_as_toml(const ModelConfig& model) {
  static const std::map<CapacityRule, const char*> rules{{CapacityRule::colossalai, "colossalai"},
                                                         {CapacityRule::flaxformer, "flaxformer"},
                                                         {CapacityRule::dropless, "dropless"}};
  std::string out = "[model]\npreset = \"openmoe-base\"\n";
  const auto add = [&out](const char* key, auto value) { out += fmt::format("{} = {}\n", key, value); };
  if (model.vocab_size > 0) add("vocab_size", model.vocab_size);
  add("hidden_size", model.hidden_size);
  add("intermediate_size", model.intermediate_size);
  add("num_hidden_layers", model.num_hidden_layers);
  add("num_attention_heads", model.num_attention_heads);
  add("head_dim", model.head_dim);
  add("max_position_embeddings", model.max_position_embeddings);
  add("rms_norm_eps", model.rms_norm_eps);
  add("rope_theta", model.rope_theta);
  add("num_experts", model.num_experts);
  add("moe_layer_interval", model.moe_layer_interval);
  add("router_topk", model.router_topk);
  add("router_capacity_factor_train", model.router_capacity_factor_train);
  add("router_capacity_factor_eval", model.router_capacity_factor_eval);
  add("router_min_capacity", model.router_min_capacity);
  add("router_group_size", model.router_group_size);
  if (!model.pads_routed) add("pads_routed", false);
  add("router_aux_loss_factor", model.router_aux_loss_factor);
  add("router_z_loss_factor", model.router_z_loss_factor);
  add("z_loss_factor", model.z_loss_factor);
  out += fmt::format("capacity_rule = \"{}\"\n", rules.at(model.capacity_rule));
  return out;
}

std::string training_as_toml(const TrainConfig& train) {
  const TrainConfig defaults;
  std::string out = fmt::format(
      "[train]\nbatch_rows = {}\nmicro_rows = {}\ntokens = {}\noptimizer = \"{}\"\nschedule = \"{}\"\n"
      "learning_rate = {}\nwarmup_steps = {}\nprecision = \"{}\"\n",
      train.batch_rows, train.micro_rows, train.tokens, train.optimizer, train.schedule, train.learning_rate,
      train.warmup_steps, train.precision);
  const auto add = [&out](const char* key, auto value) { out += fmt::format("{} = {}\n", key, value); };
  if (train.recompute) add("recompute", true);
  if (train.optimizer == "adamw") {
    add("beta1", train.beta1);
    add("beta2", train.beta2);
    add("eps", train.eps);
    add("weight_decay", train.weight_decay);
  }
  if (train.clip_norm > 0) add("clip_norm", train.clip_norm);
  if (train.schedule == "cosine" || train.schedule == "wsd") add("final_learning_rate", train.final_learning_rate);
  if (train.schedule == "wsd") add("decay_share", train.decay_share);
  if (train.max_bad_steps != defaults.max_bad_steps) add("max_bad_steps", train.max_bad_steps);
  out += fmt::format("\n[eval]\nevery_steps = {}\ntokens = {}\n\n[checkpoint]\nevery_steps = {}\nkeep_last = {}\n",
                     train.eval_every_steps, train.eval_tokens, train.checkpoint_every_steps, train.keep_last);
  if (train.keep_every_tokens > 0) add("keep_every_tokens", train.keep_every_tokens);
  if (train.details_every_steps != defaults.details_every_steps) {
    out += "\n[log]\n";
    add("details_every_steps", train.details_every_steps);
  }
  return out;
}

/// The run as text that reads back to the same run from any folder that holds all of it.
std::vector<std::pair<std::string, std::string>> resolve(const RunFile& run) {
  const StreamConfig& stream = run.stream;
  std::vector<std::pair<std::string, std::string>> files;
  std::string text =
      fmt::format("name = {}\nseed = {}\nvocab = {}\nsequence_length = {}\n", millrace::quoted(stream.name),
                  stream.seed, quoted(run.vocabulary.string()), stream.sequence_length);
  for (std::size_t i = 0; i < stream.phases.size(); ++i) {
    const Phase& phase = stream.phases[i];
    const std::string mix = fmt::format("mixes/phase-{}.toml", i + 1);
    const std::string objective = fmt::format("objectives/phase-{}.toml", i + 1);
    files.emplace_back(mix, to_toml(phase.mix));
    files.emplace_back(objective, to_toml(phase.objective));
    text += fmt::format("\n[[phase]]\nuntil = {}\nmix = \"{}\"\nobjective = \"{}\"\n", phase.until, mix, objective);
  }
  text += fmt::format(
      "\n[data]\ndirectory = {}\nholdout = {}\nshuffle_block = {}\nshuffle_bytes = {}\nsampling = \"{}\"\n"
      "on_bad_data = \"{}\"\nmax_bad_fraction = {}\nmax_record_bytes = {}\n",
      quoted(stream.data_directory), stream.holdout, stream.shuffle_block, stream.shuffle_bytes,
      stream.sampling == Sampling::random ? "random" : "quota", stream.on_bad_data == OnBadData::fail ? "fail" : "skip",
      stream.max_bad_fraction, stream.max_record_bytes);
  if (!stream.allow_unreadable.empty()) {
    std::vector<std::string> shards;
    for (const std::string& shard : stream.allow_unreadable) shards.push_back(quoted(shard));
    text += fmt::format("allow_unreadable = [{}]\n", fmt::join(shards, ", "));
  }
  text += fmt::format("\n{}\n{}", model_as_toml(run.model), training_as_toml(run.train));
  files.emplace_back("run.toml", text);
  return files;
}

}  // namespace

RunFile load_run(const RunOptions& options) {
  RunFile run;
  run.file = options.run;
  if (std::filesystem::is_directory(run.file)) run.file /= "run.toml";
  const ConfigTable table = ConfigTable::read(run.file, options.sets);
  StreamConfig& stream = run.stream;
  stream.name = table.text("name", run.file.stem().string());
  if (stream.name.empty() || stream.name == "." || stream.name == ".." ||
      stream.name.find_first_of(std::string("/\0", 2)) != std::string::npos)
    table.fail("name", fmt::format("is {}, which no folder can be called; the run's is called after it",
                                   millrace::quoted(stream.name)));
  stream.seed = table.count("seed", 0, WholeRange{.most = std::numeric_limits<std::uint64_t>::max()});
  run.vocabulary = table.path("vocab");
  override_number(table, "sequence_length", stream.sequence_length, {2, kLongestRow});
  stream.phases = read_phases(table);
  max_document_tokens_of(stream);  // One for all phases, or this throws.
  read_data(table.table("data"), stream);
  if (!options.data.empty())
    stream.data_directory = std::filesystem::absolute(options.data).lexically_normal().string();
  run.model = read_model(table.table("model"));
  if (run.model.max_position_embeddings < stream.sequence_length)
    run.model.max_position_embeddings = stream.sequence_length;
  run.train = read_training(table);
  table.refuse_unknown_keys();
  if (run.train.tokens == 0) run.train.tokens = stream.phases.back().until;
  if (run.train.tokens > stream.phases.back().until)
    throw ConfigError(fmt::format("{}: [train] tokens is {}, but the last phase ends at {}", run.file.string(),
                                  run.train.tokens, stream.phases.back().until));
  run.resolved = resolve(run);
  return run;
}

StreamConfig trained_stream(const RunFile& run) {
  StreamConfig stream = run.stream;
  const std::uint64_t tokens = run.train.tokens;
  while (stream.phases.size() > 1 && stream.phases[stream.phases.size() - 2].until >= tokens) stream.phases.pop_back();
  stream.phases.back().until = tokens;
  return stream;
}

}  // namespace millrace
