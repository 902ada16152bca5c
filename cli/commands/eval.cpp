#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/precision_option.h"
#include "cli/console/results.h"
#include "cli/console/text_table.h"
#include "cli/views/training_view.h"
#include "model/optimizer/finite.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/backend/open_device.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/config/run_config.h"
#include "trainer/evaluation/evaluation.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/held_out_set.h"
#include "trainer/run/vocabulary_check.h"
#include "trainer/weights/mapped_weights.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  std::string checkpoint;
  std::string device;  ///< Empty: the run's.
  RunSource run;
  std::uint64_t tokens = 0;
  int threads = 0;
  bool json = false;
};

std::vector<HeldOutTokens> held_out_of(const EvalOptions& options, const RunConfig& run, const Vocabulary& vocabulary) {
  const fs::path kept = fs::path(options.run.run) / "heldout.safetensors";
  if (options.tokens == 0 && fs::exists(kept)) return load_held_out(kept, vocabulary.hash());
  const std::uint64_t tokens = options.tokens > 0 ? options.tokens : run.train.eval_tokens;
  if (run.stream.holdout <= 0) return {};
  return held_out_ids(run.stream, corpora_of(run.stream, FindShards::yes), vocabulary, tokens);
}

/// The phase of the last row that the checkpoint was trained on; the run's last phase if the checkpoint does not say.
std::uint32_t phase_of(const fs::path& checkpoint, const RunConfig& run) {
  const auto last = static_cast<std::uint32_t>(run.stream.phases.size() - 1);
  const std::optional<TrainState> state = load_train_state(checkpoint);
  return state && state->position ? std::min(state->position->phase, last) : last;
}

void add_to(TextTable& table, const Evaluation& evaluation) {
  const auto add = [&](const std::string& name, const EvaluationScore& score) {
    if (score.tokens == 0) {
      table.add({evaluation.objective, name, "none", "-", "-", "-", "-", "-"});
      return;
    }
    const std::optional<double> bits = score.bits_per_byte();
    const std::optional<double> bound = score.unigram_loss();
    table.add({evaluation.objective, name, fmt::format("{}", score.tokens), finite_text(score.loss(), 4),
               finite_text(score.perplexity(), 1), bits ? finite_text(*bits, 3) : "-",
               fmt::format("{:.2f} %", 100 * score.accuracy()), bound ? finite_text(*bound, 4) : "-"});
  };
  for (const CorpusScore& corpus : evaluation.corpora) add(corpus.corpus, corpus.score);
  add("all", evaluation.overall);
}

/// Names the weights that are not finite, or says that only the results computed with them are not.
std::string why_not_finite(Device& device, const Parameters& weights) {
  const std::string tensors = not_finite_in(device, weights);
  return tensors.empty() ? "the weights are finite, what the model computes with them is not" : tensors;
}

std::string table_of(const Evaluation& causal, const std::optional<Evaluation>& own) {
  TextTable table({{"objective", Align::left},
                   {"held out", Align::left},
                   {"tokens"},
                   {"loss"},
                   {"perplexity"},
                   {"bits/byte"},
                   {"accuracy"},
                   {"unigram bound"}});
  add_to(table, causal);
  if (own) add_to(table, *own);
  return table.text();
}

Json json_of(const Evaluation& causal, const std::optional<Evaluation>& own) {
  Json json{{"eval", causal.corpora_json()}, {"overall", causal.overall_json()}, {"own", nullptr}};
  if (own)
    json["own"] = {{"objective", own->objective}, {"eval", own->corpora_json()}, {"overall", own->overall_json()}};
  return json;
}

/// Throws ConfigError if the folder is a run folder, DataError if it is a Millrace checkpoint that is damaged.
void check_checkpoint(const fs::path& folder) {
  if (const std::vector<std::uint64_t> steps = checkpoint_steps(folder / "checkpoints"); !steps.empty())
    throw ConfigError(fmt::format("{}: the folder of a run; name one of its checkpoints, the newest is {}",
                                  folder.string(), checkpoint_path(folder / "checkpoints", steps.back()).string()));
  if (!fs::exists(folder / "manifest.json")) return;  // Written by another program.
  if (const std::string damage = damage_of(folder); !damage.empty())
    throw DataError(fmt::format("{}: {}", folder.string(), damage));
}

void eval(const EvalOptions& options) {
  const fs::path checkpoint = options.checkpoint;
  check_checkpoint(checkpoint);
  const ModelConfig config = load_model_config(checkpoint);
  const RunConfig run = load_run(options.run);
  const Vocabulary vocabulary = open_vocabulary(run.vocabulary);
  check_vocabulary_of_checkpoint(config, checkpoint, vocabulary, run.vocabulary);
  set_compute_threads(options.threads);
  require_threads(compute_threads());
  const std::vector<HeldOutTokens> held_out = held_out_of(options, run, vocabulary);
  if (held_out.empty()) throw ConfigError(run.file.string() + ": [data] holdout is 0: there is nothing to evaluate on");
  const auto rows = held_out_rows(run.stream, corpora_of(run.stream, FindShards::no), phase_of(checkpoint, run),
                                  held_out, vocabulary);

  const std::string on = options.device.empty() ? run.train.device : resolved_device(options.device);
  const std::unique_ptr<Device> opened =
      open_device(on, {precision_named(run.train.precision, "train.precision", on)}, "--device");
  Device& device = *opened;
  refuse_what_it_cannot(device, config);
  MappedWeights weights(device, checkpoint, config);
  Transformer model(device, config, weights.views());
  const std::optional<UnigramCounts> counts = load_unigram_counts(checkpoint, config.vocab_size);
  const UnigramCounts* unigram = counts ? &*counts : nullptr;
  const int batch_rows = run.train.micro_rows > 0 ? run.train.micro_rows : run.train.batch_rows;
  const Scorer score = [&model](const ScoredBatches& batches) { score_batches(model, batches); };
  const Evaluation causal =
      evaluate(score, held_out, run.stream.sequence_length, batch_rows, vocabulary.pad(), unigram);
  std::optional<Evaluation> own;
  if (rows) own = evaluate(score, *rows, batch_rows, unigram);
  if (!causal.overall.is_finite() || (own && !own->overall.is_finite()))
    say("{}: the loss is not finite: {}", checkpoint.string(), why_not_finite(device, weights.views()));
  print_results(options.json ? json_line(json_of(causal, own)) + "\n" : table_of(causal, own));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  const Command command(app, "eval", "Loss of a checkpoint on a run's held-out documents, per corpus");
  command.add_option("checkpoint", options->checkpoint, "Checkpoint folder").required();
  command.add_option("--run", options->run.run, "Run file, or the folder of a run").required();
  add_device_option(command, options->device);
  command.add_option("--data", options->run.data, "Folder where the mixes' relative shard patterns start")
      .environment("MILLRACE_DATA");
  command.add_option("--set", options->run.sets, "Replace a key of the run file, as in --set data.holdout=0.01")
      .type_name("KEY=VALUE")
      .take_all();
  command
      .add_option("--tokens", options->tokens,
                  "Held-out tokens, over all corpora; 0: those that the run folder keeps, or as the run file says")
      .whole_number_from(0, kMostWhole);
  command.add_threads_option(options->threads, "Threads", "all cores");
  command.add_flag("--json", options->json, "Print JSON");
  command.footer("Example:\n  millrace eval runs/quickstart/checkpoints/step-000256 --run runs/quickstart");
  command.callback([options] { eval(*options); });
}

}  // namespace millrace
