#include "trainer/run/training_run.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "model/cost/peak_flops.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/formats/hugging_face_tokenizer.h"
#include "pipeline/json_text.h"
#include "pipeline/reading/lanes.h"
#include "pipeline/rows/start_position.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "trainer/backend/open_device.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"
#include "trainer/distributed/rank_status.h"
#include "trainer/distributed/run_folder_check.h"
#include "trainer/optimizer/learning_rate.h"
#include "trainer/plan/ranks_fit.h"
#include "trainer/ranked/rank_groups.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/held_out_set.h"
#include "trainer/run/open_files.h"
#include "trainer/run/run_differences.h"
#include "trainer/run/run_memory.h"
#include "trainer/run/summary.h"
#include "trainer/run/vocabulary_check.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Threads besides those that compute and read: the pipeline's and the checkpoint writer.
constexpr int kOtherThreads = 4;

/// Open files besides one shard per corpus: lock, log, metrics, rejects, positions, events, a checkpoint being written
/// and folders being listed.
constexpr std::size_t kOtherFiles = 16;

/// Checked because it becomes the name of a run folder.
fs::path run_dir_of(const TrainingRun::Options& options, const RunConfig& run) {
  const fs::path run_dir = !options.run_dir.empty()            ? options.run_dir
                           : fs::is_directory(options.run.run) ? fs::path(options.run.run)
                                                               : fs::path("runs") / run.stream.name;
  require_name(run_dir);
  return run_dir;
}

/// All keys of the model and of training, for comparing runs.
std::shared_ptr<const Json> keys_of(const RunConfig& run) {
  Json keys;
  const auto add = [&keys](const std::string& table, const Json& members) {
    for (const auto& [name, value] : members.items()) keys[fmt::format("{}.{}", table, name)] = value;
  };
  Json model;
  model_keys().write_all(run.model, model);
  add("model", model);
  for (const auto& table : train_keys()) {
    Json members;
    table.write_all(run.train, members);
    add(table.name(), members);
  }
  keys["seed"] = run.stream.seed;
  keys["sequence_length"] = run.stream.sequence_length;
  return std::make_shared<const Json>(std::move(keys));
}

/// A tokenizer for other programs, where one can be made of the run's vocabulary.
CheckpointTexts tokenizer_texts(const fs::path& vocabulary, int positions) {
  const std::string model = read_vocabulary_bytes(vocabulary);
  if (const std::string why = why_no_hugging_face_tokenizer(model, vocabulary.string()); !why.empty()) {
    spdlog::info("checkpoints hold no tokenizer.json: none can be made of the vocabulary, since {}", why);
    return {};
  }
  const HuggingFaceTokenizer tokenizer = hugging_face_tokenizer(model, vocabulary.string(), positions);
  return {{"tokenizer.json", tokenizer.tokenizer}, {"tokenizer_config.json", tokenizer.config}};
}

/// The run folder keeps a copy, so that a run can resume after its original vocabulary file is gone.
fs::path vocabulary_file(const RunConfig& run, const fs::path& run_dir, bool resume) {
  const fs::path kept = run_dir / "vocab.model";
  const bool is_gone = resume && !fs::exists(run.vocabulary) && fs::exists(kept);
  return is_gone && load_run({run_dir.string(), "", {}}).vocabulary == run.vocabulary ? kept : run.vocabulary;
}

std::uint64_t positions_of_a_step(const RunConfig& run) {
  return static_cast<std::uint64_t>(run.train.batch_rows) * static_cast<std::uint64_t>(run.stream.sequence_length);
}

/// That the run's own rows make.
std::uint64_t own_steps(const RunConfig& run) {
  return run.train.tokens / positions_of_a_step(run);
}

/// Checks early what the loop would refuse, before a folder is created or anything is measured.
void check_schedule(const RunConfig& run, std::uint64_t first_step) {
  const std::uint64_t steps = own_steps(run);
  if (steps == 0)
    throw ConfigError(fmt::format("{}: {} tokens are less than one batch of {} rows of {}", run.file.string(),
                                  run.train.tokens, run.train.batch_rows, run.stream.sequence_length));
  for (std::size_t phase = 0; phase < run.stream.phases.size(); ++phase) {
    try {
      const LearningRate checked(run.phase_train(phase), first_step + steps);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("{}: {}{}", run.file.string(),
                                    run.phases[phase].train.empty() ? "" : fmt::format("in phase.{}, ", phase),
                                    error.what()));
    }
  }
}

/// How the corpora are read, and what going on reads again.
void tell_order(const std::vector<ReadingPlan>& plans, const std::optional<StreamPosition>& start) {
  constexpr double kMegabyte = 1e6;
  std::size_t lanes = 0;
  std::uint64_t window = 0;
  std::uint64_t replay = 0;
  for (const ReadingPlan& plan : plans) {
    lanes += plan.lanes;
    window = std::max(window, plan.window);
    replay += plan.replay_bytes();
  }
  spdlog::info(
      "order: {} shards are read at once, segments shuffled in windows of up to {} tokens; going on after a "
      "stop reads up to {:.1f} MB again",
      lanes, window, static_cast<double>(replay) / kMegabyte);
  if (!start) return;
  std::uint64_t skipped = 0;
  std::uint64_t given = 0;
  for (const CorpusPosition& corpus : start->corpora) {
    for (const LaneCursor& lane : corpus.place.lanes) skipped += lane.seek.byte - lane.seek.content;
    for (const WindowPlace& begun : corpus.windows) given += begun.given;
  }
  spdlog::info(
      "going on: {:.1f} MB are read again on the way into open shards, and windows of which {} examples were "
      "given",
      static_cast<double>(skipped) / kMegabyte, given);
}

/// What there is, the card's memory among it. Throws ConfigError if there is no card, or it cannot train the model.
MachineMemory machine_of(const RunConfig& run) {
  MachineMemory machine = machine_memory();
  const TrainConfig& train = run.train;
  if (train.device == "cpu") return machine;
  const std::unique_ptr<Device> device =
      open_device(train.device, device_settings(train), run.file.string() + ": [train] device");
  refuse_what_it_cannot_train(*device, run.model, train, run.stream.sequence_length);
  machine.card = device->free_bytes();
  machine.card_name = device->name();
  return machine;
}

/// FLOP/s, measured now and logged.
double measured_product_rate(const TrainConfig& train, Device& device) {
  constexpr int kSide = 1024;
  constexpr double kSeconds = 0.1;
  if (train.device != "cpu") {
    constexpr Index kCardSide = 8192;
    const double rate = product_rate(device, kCardSide);
    spdlog::info("{}: {:.0f} GFLOP/s in {}", device.name(), rate / 1e9, train.precision);
    return rate;
  }
  const double rate = product_rate(precision_named(train.precision), kSide, kSeconds);
  spdlog::info("this machine: {:.0f} GFLOP/s in {}, {} threads", rate / 1e9, resolved_precision(train.precision),
               compute_threads());
  return rate;
}

}  // namespace

TrainingRun::TrainingRun(Options options, Hooks hooks)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      run_(load_run(options_.run)),
      whole_stream_(run_.stream),
      run_dir_(run_dir_of(options_, run_)),
      vocabulary_path_(vocabulary_file(run_, run_dir_, options_.resume)),
      vocabulary_(hooks_.open_vocabulary(vocabulary_path_)),
      machine_(machine_of(run_)) {
  if (options_.resume && holds_run(run_dir_) && !run_.names_loss_rows) keep_loss_rows(begun_as(), run_);
  const std::string where = run_.file.string() + ": [model]";
  if (run_.model.vocab_size == 0) run_.model.vocab_size = vocabulary_.embedding_rows();
  check_vocabulary_size(run_.model, where, vocabulary_, vocabulary_path_);
  check_model_config(run_.model, where);
  if (!options_.from.empty())
    asked_origin_ = origin_of(options_.from, options_.weights_only ? TakeFrom::weights : TakeFrom::all, run_);
  origin_ = options_.resume && holds_run(run_dir_) ? origin_in(run_dir_) : asked_origin_;
  run_.stream = trained_stream(run_);
  check_schedule(run_, origin_.first_step());
  set_compute_threads(options_.threads);
  require_threads(2 * compute_threads() + kOtherThreads);
  shards_ = find_run_shards(run_.stream, run_dir_, options_.resume);
  arrange_ranks();
  memory_.emplace(memory_question(run_, shards_.corpora, vocabulary_path_, compute_threads()));
  const bool has_stored_rows = !options_.rows.empty();
  if (!has_stored_rows) check_memory();
  require_open_files(kOtherFiles + open_shards(run_.stream, shards_.corpora));
  if (!has_stored_rows) return;
  const auto batch_rows = static_cast<std::uint64_t>(run_.train.batch_rows);
  stored_ = std::make_unique<StoredRows>(options_.rows, StoredRows::Wanted{.run = whole_stream_,
                                                                           .trained = run_.stream,
                                                                           .corpora = shards_.corpora,
                                                                           .vocabulary = vocabulary_,
                                                                           .rows = own_steps(run_) * batch_rows,
                                                                           .batch_rows = run_.train.batch_rows});
  memory_->pipeline = stored_->memory_bytes();
  check_memory();
}

/// Throws ConfigError if the ranks do not fit the run.
void TrainingRun::arrange_ranks() {
  const RankedRun& job = options_.ranks;
  if (job.ranks == nullptr) {
    if (!options_.grid.empty())
      throw ConfigError("--grid arranges several ranks, and this process is alone: start it with mpirun");
    return;
  }
  const GridWish wish = options_.grid.empty() ? run_.grid : parse_grid(options_.grid, "--grid", run_.grid);
  grid_ = process_grid(wish, job.ranks->size(), run_.model, run_.train);
  if (const std::string fault = fault_of_grid(*grid_); !fault.empty()) throw ConfigError(fault);
  if (run_.train.device != "cpu")
    throw ConfigError(
        fmt::format("{}: [train] device is \"{}\": several ranks train on processors only, since a card a "
                    "rank was never tried; use one process, or device = \"cpu\"",
                    run_.file.string(), run_.train.device));
}

/// Throws ConfigError with what each machine's ranks take, and what it has; of one process what the hook throws.
void TrainingRun::check_memory() const {
  if (!grid_) {
    hooks_.on_memory(run_, *memory_, machine_);
    return;
  }
  if (const std::string fault = fault_of_memory(*memory_, *grid_, options_.ranks.facts); !fault.empty())
    throw ConfigError(fmt::format("{}: {}", run_.file.string(), fault));
}

std::vector<RankMemory> TrainingRun::memory_by_rank() const {
  return grid_ ? memory_of_ranks(*memory_, *grid_)
               : std::vector<RankMemory>{{.rank = 0, .plan = plan_memory(*memory_)}};
}

std::uint64_t TrainingRun::total_steps() const {
  return origin_.first_step() + own_steps(run_);
}

void TrainingRun::begin() {
  folder_.emplace(
      run_dir_, run_.resolved, vocabulary_path_, vocabulary_.hash(),
      RunFolder::Options{.resume = options_.resume,
                         .accept_changes = options_.accept_changes,
                         .origin = asked_origin_,
                         .changes = [this] { return run_differences(begun_as(), run_, shards_.same_shards); },
                         .shards = shards_.record});
  remove_statuses(folder_->path());
  if (options_.ranks.ranks != nullptr)
    tell_run(*options_.ranks.ranks, options_.ranks.facts, {run_dir_, run_.train.stall_seconds});
}

void TrainingRun::make_ready() {
  held_out_ = held_out();
  loop_.emplace(setup());
  loop_->compare_with(measured_product_rate(run_.train, loop_->backend().device()));
  if (options_.resume) loop_->resume();
  if (options_.resume && !begun_as().names_loss_rows)
    spdlog::info(
        "loss_rows = {}: the run was begun before that key was, when each micro-batch's own loss weights divided "
        "its cross-entropy",
        run_.train.loss_rows);
  if (!origin_.checkpoint.empty() && !loop_->position()) load_origin();
  if (const std::uint64_t before = loop_->state().before.steps; before != origin_.first_step())
    throw ConfigError(fmt::format("run folder {}: its checkpoint goes on from step {}, its run.json from step {}",
                                  run_dir_.string(), before, origin_.first_step()));
  if (!folder_->changes().asked.empty()) {
    refuse_changed_past();
    refuse_an_end_that_is_behind();
  }
  open_rows();
  keep_changes();
}

/// What --from brings, before the first step.
void TrainingRun::load_origin() {
  for (const ConfigDifference& one : model_keys().differences(load_model_config(origin_.checkpoint), run_.model))
    spdlog::info("other than in {}: {}", (origin_.checkpoint / "config.json").string(), one.text());
  if (!origin_.step) {
    loop_->start_with_weights(origin_.checkpoint);
    spdlog::info("starting with {} alone: the optimizer's state and the steps begin anew", origin_.text());
    return;
  }
  const CheckpointSteps taken = loop_->start_from(origin_.checkpoint);
  spdlog::info(
      "starting with weights, optimizer ({}) and step {} of {}, stream version {}; this run reads its own "
      "stream, version {}, from row 0",
      run_.train.optimizer, taken.step, origin_.checkpoint.string(), taken.stream_version, kStreamVersion);
}

/// The run in the folder, read once, before changes are stored.
const RunConfig& TrainingRun::begun_as() {
  if (!begun_as_) begun_as_ = load_run({run_dir_.string(), "", {}});
  return *begun_as_;
}

/// The stored held-out tokens, and those of new corpora. If `holdout` changed (the run might train on stored documents)
/// or `eval_tokens` did, all are gathered anew.
std::vector<HeldOutTokens> TrainingRun::held_out() {
  std::vector<HeldOutTokens> kept;
  if (fs::exists(folder_->held_out())) {
    kept = load_held_out(folder_->held_out(), vocabulary_.hash());
    if (folder_->changes().asked.empty()) return kept;
    const RunConfig& then = begun_as();
    if (then.stream.holdout != run_.stream.holdout || then.train.eval_tokens != run_.train.eval_tokens) kept.clear();
  }
  for (HeldOutTokens& corpus : held_out_ids(run_.stream, shards_.corpora, vocabulary_, run_.train.eval_tokens)) {
    const bool known = std::ranges::any_of(kept, [&](const HeldOutTokens& k) { return k.corpus == corpus.corpus; });
    if (!known) kept.push_back(std::move(corpus));
  }
  return kept;
}

TrainSetup TrainingRun::setup() {
  identity_ = {.name = run_.stream.name,
               .program_version = options_.program_version,
               .run_hash = run_hash(run_.resolved),
               .vocabulary_hash = vocabulary_.hash(),
               .stream_version = kStreamVersion,
               .processor = this_processor()};
  TrainSetup setup;
  setup.model = run_.model;
  setup.train = run_.train;
  setup.seed = run_.stream.seed;
  setup.sequence_length = run_.stream.sequence_length;
  setup.pad = vocabulary_.pad();
  setup.corpora = names_of(shards_.corpora);
  for (const RunCorpus& corpus : shards_.corpora) setup.shards.push_back(corpus.shards);
  for (std::size_t i = 0; i < run_.stream.phases.size(); ++i)
    setup.phases.push_back({run_.phase_model(i), run_.phase_train(i)});
  for (const Phase& phase : run_.stream.phases) {
    std::vector<std::string>& names = setup.denoisers.emplace_back();
    for (const Denoiser& denoiser : phase.objective.denoisers) names.push_back(denoiser.name);
  }
  setup.held_out = held_out_;
  setup.objective_rows = [this](std::uint32_t phase) {
    return held_out_rows(run_.stream, shards_.corpora, phase, held_out_, vocabulary_);
  };
  setup.folder = folder_->path();
  setup.checkpoints = folder_->checkpoints();
  setup.checkpoint_texts = tokenizer_texts(vocabulary_path_, run_.model.max_position_embeddings);
  setup.identity = identity_;
  setup.settings = {.files = run_.resolved, .keys = keys_of(run_)};
  setup.profile = options_.profile;
  setup.ranks = options_.ranks.ranks;
  if (grid_) setup.layout = rank_layout(*grid_, run_.model, run_.stream.sequence_length);
  setup.hosts = hosts();
  return setup;
}

/// Throws ConfigError if the changed run would not have produced the rows that were already trained on.
void TrainingRun::refuse_changed_past() {
  const std::optional<StreamPosition>& position = loop_->position();
  if (!position) return;
  if (const auto keys = keys_of_past_phases(begun_as(), run_, position->phase); !keys.empty())
    throw ConfigError(
        fmt::format("run folder {}: these keys are those of phases that are behind, and would change nothing:\n  {}",
                    run_dir_.string(), fmt::join(keys, "\n  ")));
  const std::vector<std::string> changes =
      incompatible_changes(begun_as().stream, whole_stream_, *position, shards_.same_shards);
  if (changes.empty()) return;
  throw ConfigError(
      fmt::format("run folder {}: these changes would alter the {} rows that were already trained on:\n  {}\n"
                  "Only later phases may be changed; for other changes begin a new run with --run-dir",
                  run_dir_.string(), position->row, fmt::join(changes, "\n  ")));
}

/// Throws ConfigError if more tokens were already trained on than the run now asks for.
void TrainingRun::refuse_an_end_that_is_behind() const {
  const std::uint64_t trained = loop_->state().ledger.positions();
  if (run_.train.tokens >= trained) return;
  throw ConfigError(
      fmt::format("{}: the run is to have {} tokens (train.tokens, or the last phase's until), but {} were "
                  "trained on already",
                  run_.file.string(), run_.train.tokens, trained));
}

void TrainingRun::open_rows() {
  const std::optional<StreamPosition>& position = loop_->position();
  if (stored_) {
    stored_->go_to(position ? position->row : 0);
    source_ = std::move(stored_);
  } else {
    tell_order(reading_plans(run_.stream, shards_.corpora), position);
    source_ = std::make_unique<DataPipeline>(
        run_.stream, shards_.corpora, vocabulary_, position,
        DataPipeline::Options{
            .threads = options_.threads, .batch_rows = run_.train.batch_rows, .interrupted = hooks_.interrupted});
  }
}

void TrainingRun::keep_changes() {
  const auto& [asked, free] = folder_->changes();
  for (const std::string& change : asked) spdlog::warn("accepted change: {}", change);
  for (const std::string& change : free) spdlog::info("changed, without effect on rows and losses: {}", change);
  if (!asked.empty() || !free.empty()) folder_->keep_changes(run_.resolved, shards_.record, loop_->state().step);
  if (!fs::exists(folder_->held_out()) || !asked.empty())
    save_held_out(folder_->held_out(), held_out_, vocabulary_.hash());
}

void TrainingRun::train(const Told& told) {
  TrainLoop::Hooks hooks;
  hooks.next_batch = [this] { return source_->next(); };
  hooks.stream_end = [this] { return source_->end(); };
  hooks.interrupted = [this] { return hooks_.interrupted() || is_asked_to_stop(folder_->path()); };
  hooks.on_phase = told.on_phase;
  hooks.on_step = told.on_step;
  hooks.on_evaluation = told.on_evaluation;
  end_ = loop_->run(total_steps(), hooks);
  if (end_ == TrainEnd::complete) loop_->end_stream(hooks);
  source_->stop();
}

std::vector<std::string> TrainingRun::hosts() const {
  std::vector<std::string> hosts;
  for (const RankFacts& facts : options_.ranks.facts) hosts.push_back(facts.host);
  return hosts;
}

std::optional<SharedWork> TrainingRun::shared_work() const {
  if (!grid_) return std::nullopt;
  return SharedWork{*grid_, hosts(), loop_->rank_times()};
}

TrainingRun::Outcome TrainingRun::sum_up() {
  if (end_ == TrainEnd::stream_ended)
    spdlog::info("the stream ended after {} of {} steps", loop_->state().step, total_steps());
  if (loop_->dropped_rows() > 0)
    spdlog::info("{} rows of a last, incomplete batch were dropped", loop_->dropped_rows());
  Outcome outcome{end_,
                  std::make_shared<const Json>(summary_json({.state = loop_->state(),
                                                             .stream = run_.stream,
                                                             .corpora = names_of(shards_.corpora),
                                                             .identity = identity_,
                                                             .origin = origin_,
                                                             .end = end_,
                                                             .total_steps = total_steps(),
                                                             .dropped_rows = loop_->dropped_rows(),
                                                             .end_of_stream = loop_->end_of_stream(),
                                                             .threads = compute_threads(),
                                                             .shared = shared_work()})),
                  ""};
  try {
    write_file_atomically(folder_->summary(), json_page(*outcome.summary));
  } catch (const std::system_error& error) {
    outcome.not_kept = error.what();
  }
  return outcome;
}

}  // namespace millrace
