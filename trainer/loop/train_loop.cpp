#include "trainer/loop/train_loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "model/optimizer/finite.h"
#include "model/stop.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "trainer/backend/local_backend.h"
#include "trainer/backend/open_device.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/loop/bad_step.h"
#include "trainer/loop/restored_check.h"
#include "trainer/loop/seconds_since.h"
#include "trainer/metrics/bad_batch.h"
#include "trainer/metrics/process_memory.h"
#include "trainer/metrics/step_metrics.h"
#include "trainer/ranked/ranked_backend.h"
#include "trainer/ranked/ranked_saver.h"
#include "trainer/weights/drawn_weights.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBadBatch = "bad_batch.json";

/// A line of metrics.jsonl with the keys that changed, if any did.
Json with_keys(Json line, const Json& changed) {
  if (!changed.empty()) line["keys"] = changed;
  return line;
}

[[noreturn]] void refuse_to_start(const fs::path& checkpoint, const std::string& not_finite) {
  throw ConfigError(fmt::format("{}: {}; a run cannot start with them", checkpoint.string(), not_finite));
}

/// The run's results depend on its device, which only then is known by name.
std::unique_ptr<TrainingBackend> backend_of(TrainSetup& setup) {
  const TrainConfig& train = setup.train;
  std::unique_ptr<Device> device = open_device(train.device, device_settings(train), "train.device");
  if (train.device == "cuda") setup.identity.processor = device->name();
  if (setup.ranks != nullptr)
    return std::make_unique<RankedBackend>(*setup.ranks, setup.layout, std::move(device), setup.model, train);
  return std::make_unique<LocalBackend>(std::move(device), setup.model, train);
}

}  // namespace

TrainLoop::TrainLoop(TrainSetup setup)
    : setup_(checked(std::move(setup))),
      backend_(backend_of(setup_)),
      ranked_(dynamic_cast<RankedBackend*>(backend_.get())),
      unigram_(setup_.model.vocab_size),
      saver_({.saver = [this] { return make_saver(); },
              .identity = setup_.identity,
              .again_after = setup_.save_again_after},
             parts(), [this] { check_ledger(state_, seen_, setup_.corpora); }),
      slow_ranks_(setup_.hosts) {}

TrainLoop::~TrainLoop() = default;

std::unique_ptr<CheckpointSaver> TrainLoop::make_saver() const {
  const KeepRule keep{.last = setup_.train.keep_last, .every_tokens = setup_.train.keep_every_tokens};
  if (ranked_ == nullptr) return std::make_unique<CheckpointWriter>(setup_.checkpoints, keep, setup_.checkpoint_texts);
  return std::make_unique<RankedSaver>(*ranked_, setup_.hosts, setup_.checkpoints, keep, setup_.checkpoint_texts);
}

void TrainLoop::start_with_weights(const fs::path& checkpoint) {
  Device& device = backend_->device();
  load_parameters(device, checkpoint, backend_->parameters());
  if (const std::string bad = not_finite_in(device, backend_->parameters()); !bad.empty())
    refuse_to_start(checkpoint, bad);
  has_weights_ = true;
}

CheckpointSteps TrainLoop::start_from(const fs::path& checkpoint) {
  try {
    const CheckpointSteps taken = load_weights_and_optimizer(checkpoint, parts());
    state_.step = taken.step;
    state_.before = {taken.step, taken.updates};
    has_weights_ = true;
    return taken;
  } catch (const NotFiniteCheckpoint& error) {
    refuse_to_start(checkpoint, error.what());
  }
}

void TrainLoop::draw_weights() {
  backend_->initialize(first_numbers(setup_.seed));
  has_weights_ = true;
}

void TrainLoop::resume() {
  remove_unfinished_checkpoints(setup_.checkpoints);
  std::vector<DamagedCheckpoint> damaged;
  const DamageCheck check = [this](const fs::path& folder) {
    return ranked_ != nullptr ? ranked_->damage_of_checkpoint(folder) : damage_of(folder);
  };
  const std::optional<Restored> restored = restore_newest(setup_.checkpoints, parts(), damaged, check);
  if (!restored) {
    if (!damaged.empty()) {
      throw ConfigError(
          fmt::format("{}: none of the {} checkpoints is valid (the newest: {}). To train from the beginning again, "
                      "remove them",
                      setup_.checkpoints.string(), damaged.size(), damaged.front().damage));
    }
    if (holds_logs(setup_.folder) && !fs::is_directory(setup_.checkpoints)) {
      throw ConfigError(fmt::format(
          "{}: missing, although steps were done: is a disk not mounted? To train from the beginning again, make "
          "an empty folder there",
          setup_.checkpoints.string()));
    }
    spdlog::info("no checkpoint to resume from: starting at the beginning");
    return;
  }
  has_weights_ = true;
  check_restored(*restored, state_, setup_);
  saver_.is_saved();
  seen_ = {state_.ledger.positions(), state_.ledger.loss_tokens()};
  for (const DamagedCheckpoint& one : damaged) set_aside(one.folder);
  spdlog::info("resumed from {}", restored->folder.string());
}

TrainEnd TrainLoop::run(std::uint64_t total_steps, const Hooks& hooks) {
  saver_.close();
  phases_.emplace(setup_, state_.before.steps + setup_.steps_in(setup_.train.tokens));
  try {
    if (!has_weights_) draw_weights();
  } catch (const Stopped&) {
    return TrainEnd::interrupted;
  }
  fs::create_directories(setup_.checkpoints);
  const bool begun = state_.position.has_value();
  if (begun) {
    const fs::path saved = checkpoint_path(setup_.checkpoints, state_.step) / "state.json";
    expect_sound(state_, setup_.corpora, setup_.denoisers, saved.string());
  }
  cut_back_logs(setup_.folder,
                begun ? std::optional(LogEnd{state_.step, state_.evaluated_at, state_.ledger.rows()}) : std::nullopt);
  const bool is_new = state_.own_steps() == 0 && !state_.evaluated_at;
  log_ = std::make_unique<RunLog>(setup_.folder, is_new ? state_.step : state_.step + 1, setup_.settings);
  if (begun)
    for (const CorpusPosition& corpus : state_.position->corpora)
      notices_.begin(corpus.corpus, corpus.records.rejected);
  saver_.open(*log_);
  backend_->values_changed();
  const Clock::time_point start = Clock::now();
  const double wall_before = state_.times.wall;
  const auto clock = [&] { state_.times.wall = wall_before + seconds_since(start); };
  TrainEnd end = TrainEnd::complete;
  try {
    end = make_steps(total_steps, hooks, clock);
    const bool evaluates = end == TrainEnd::complete || end == TrainEnd::stream_ended;
    if (evaluates && state_.evaluated_at != state_.step) evaluate_now(hooks);
  } catch (const Stopped&) {
    end = TrainEnd::interrupted;
    backend_->measure(nullptr);  // The abandoned step may have switched measuring on.
  }
  clock();
  if (end == TrainEnd::interrupted && !saver_.has_saved_the_last())
    spdlog::info("stopped: saving step {}, the last whole one, which takes as long as the disk takes", state_.step);
  if (end != TrainEnd::bad_steps) saver_.save_last();
  saver_.wait();
  clock();
  return end;
}

/// Throws Stopped if a step or an evaluation was abandoned. `clock` records the time so far.
TrainEnd TrainLoop::make_steps(std::uint64_t total_steps, const Hooks& hooks, const std::function<void()>& clock) {
  const TrainConfig& train = setup_.train;
  const auto due_at = [](std::uint64_t step, std::uint64_t every) { return every > 0 && step % every == 0; };
  const bool evaluation_due = state_.own_steps() == 0 || due_at(state_.step, train.eval_every_steps);
  if (evaluation_due && state_.evaluated_at != state_.step) evaluate_now(hooks);
  while (state_.step < total_steps) {
    if (hooks.interrupted()) return TrainEnd::interrupted;
    const Clock::time_point asked = Clock::now();
    const std::optional<Batch> batch = next_batch(hooks);
    if (!batch && hooks.interrupted()) return TrainEnd::interrupted;
    if (!batch || batch->size() < static_cast<std::size_t>(train.batch_rows)) {
      take_end(batch, hooks);
      return TrainEnd::stream_ended;
    }
    const double data_wait = seconds_since(asked);
    saver_.save_if_due();
    const std::uint64_t step = state_.step + 1;
    const bool details = step == total_steps || due_at(step, train.details_every_steps);
    train_step(*batch, data_wait, details ? Details::yes : Details::no, hooks);
    if (state_.bad_in_a_row >= static_cast<std::uint64_t>(train.max_bad_steps)) return TrainEnd::bad_steps;
    if (due_at(step, train.eval_every_steps)) evaluate_now(hooks);
    clock();
    saver_.poll();
    if (due_at(step, train.checkpoint_every_steps)) saver_.due_now();
  }
  return TrainEnd::complete;
}

std::optional<Batch> TrainLoop::next_batch(const Hooks& hooks) {
  try {
    return hooks.next_batch();
  } catch (const DataError&) {
    try {
      const StreamRow end = hooks.stream_end();
      tell_rejects(end);
      log_->rejects(end, setup_.corpora);
      saver_.save_last();
    } catch (const std::runtime_error& error) {
      spdlog::error("{}", error.what());
    }
    throw;
  }
}

/// Rows that do not fill a step are not trained on; the rejects up to them and up to the end are logged.
void TrainLoop::take_end(const std::optional<Batch>& incomplete, const Hooks& hooks) {
  Batch rest = incomplete.value_or(Batch());
  dropped_rows_ = rest.size();
  if (incomplete) hooks.next_batch();  // Nothing follows it.
  rest.push_back(hooks.stream_end());
  for (const StreamRow& row : rest) {
    tell_rejects(row);
    log_->rejects(row, setup_.corpora);
  }
  if (rest.back().after != nullptr) end_of_stream_ = *rest.back().after;
}

void TrainLoop::end_stream(const Hooks& hooks) {
  try {
    const std::optional<Batch> batch = hooks.next_batch();
    if (!batch && hooks.interrupted()) return;
    if (!batch || batch->size() < static_cast<std::size_t>(setup_.train.batch_rows)) take_end(batch, hooks);
  } catch (const DataError& error) {
    spdlog::warn("after the last step: {}", error.what());
  }
}

void TrainLoop::tell_rejects(const StreamRow& row) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i) {
    if (const auto line = notices_.line(setup_.corpora.at(row.reject_corpora.at(i)), row.rejects[i]))
      spdlog::warn("{}", *line);
  }
}

void TrainLoop::train_step(const Batch& batch, double data_wait, Details details, const Hooks& hooks) {
  const Clock::time_point start = Clock::now();
  const std::uint32_t phase = phase_of_step(batch);
  const PhaseTraining& training = phases_->at(phase);
  if (followed_ != phase) backend_->follow(training.model, training.train);
  followed_ = phase;
  exchanged_ = backend_->exchange_seconds();
  const std::size_t phases_before = state_.longest_example.size();
  const Profile before = profile_;
  Profile* const profile = setup_.profile ? &profile_ : nullptr;
  backend_->measure(profile);
  const StepStatistics tally = forward_backward(batch);
  const Losses& losses = tally.losses();
  backend_->measure(nullptr);
  std::optional<PartTimer> timer(std::in_place, profile, Part::optimizer);
  const double norm = backend_->gradient_norm();
  const double rate = phases_->learning_rate(phase, state_.step);
  UpdateNorms norms;
  std::string why = why_bad(losses.total, norm);
  throw_if_stopped();
  if (why.empty()) {
    const double most = training.train.clip_norm;
    try {
      norms = backend_->update(rate, most > 0 && norm > most ? most / norm : 1);
    } catch (const NotFiniteUpdate& error) {
      why = error.what();
    }
  }
  timer.reset();
  if (profile != nullptr) profile_[Part::data_wait] += data_wait;

  const std::uint32_t phase_before = state_.step_phase.value_or(phase);
  enter(batch, losses, data_wait);
  for (std::size_t begun = phases_before; begun < state_.longest_example.size(); ++begun)
    hooks.on_phase(state_.step, begun);
  const Json changed = phases_->changed_keys(phase_before, phase);
  if (!changed.empty())
    spdlog::info("phase {} from step {}: {}", phase + 1, state_.step, phases_->changes(phase_before, phase));
  if (!why.empty()) {
    skip(batch, why, data_wait + seconds_since(start), data_wait, changed);
    return;
  }
  state_.bad_in_a_row = 0;
  for (const StreamRow& row : batch) unigram_.add(row.row);
  state_.add(losses.total);
  if (const std::string warning = warning_of_losses(state_); !warning.empty()) spdlog::warn("{}", warning);
  StepMetrics metrics;
  metrics.step = state_.step;
  metrics.positions = state_.ledger.positions();
  metrics.raw_tokens = state_.ledger.raw_tokens();
  metrics.loss_tokens = state_.ledger.loss_tokens();
  metrics.phase = tally.phase();
  metrics.losses = losses;
  metrics.accuracy = tally.accuracy();
  metrics.ce_by_corpus = tally.ce_by_corpus();
  metrics.ce_by_denoiser = tally.ce_by_denoiser();
  metrics.learning_rate = rate;
  metrics.gradient_norm = norm;
  metrics.norms = norms;
  metrics.step_positions = batch.size() * static_cast<std::uint64_t>(setup_.sequence_length);
  metrics.seconds = data_wait + seconds_since(start);
  metrics.data_wait = data_wait;
  if (product_rate_ > 0) {
    const double operations = product_operations(setup_.model, tally.product_work());
    metrics.limit_share = operations / metrics.seconds / product_rate_;
  }
  metrics.memory = resident_memory();
  take_rank_times(metrics);
  if (profile != nullptr) metrics.profile = profile_.since(before);
  if (details == Details::yes) metrics.ledger = ledger_counts(state_.ledger, setup_.corpora, setup_.denoisers);
  log_->metrics(with_keys(training_line(metrics), changed));
  hooks.on_step({state_.step, state_.ledger.positions(), losses.total, rate, metrics.positions_per_second(),
                 data_wait / metrics.seconds});
}

/// What of the step was computing and what exchange, of several ranks; tells of a rank that is slow.
void TrainLoop::take_rank_times(StepMetrics& metrics) {
  metrics.rank_seconds = backend_->compute_seconds();
  metrics.exchange_seconds = backend_->exchange_seconds();
  for (auto& [name, seconds] : metrics.exchange_seconds) {
    seconds -= exchanged_[name];
    rank_times_.exchanges[name] += seconds;
  }
  if (metrics.rank_seconds.empty()) return;
  rank_times_.compute += std::ranges::max(metrics.rank_seconds);
  for (const std::string& line : slow_ranks_.add(metrics.step, metrics.rank_seconds)) spdlog::warn("{}", line);
}

/// The step's rows are consumed, whether it is skipped or not.
void TrainLoop::enter(const Batch& batch, const Losses& losses, double data_wait) {
  ++state_.step;
  state_.step_phase = phase_of_step(batch);
  for (const StreamRow& row : batch) {
    state_.add(row);
    tell_rejects(row);
    log_->row(row, setup_.corpora);
  }
  seen_.positions += batch.size() * static_cast<std::uint64_t>(setup_.sequence_length);
  seen_.loss_tokens += static_cast<std::uint64_t>(std::llround(losses.loss_weight));
  state_.times.data_wait += data_wait;
}

void TrainLoop::skip(const Batch& batch, const std::string& why, double seconds, double data_wait,
                     const Json& changed) {
  ++state_.skipped_steps;
  ++state_.bad_in_a_row;
  log_->metrics(with_keys(skipped_line(state_, why, seconds, data_wait), changed));
  spdlog::warn("step {} skipped, {} in a row: {} (rows {} to {})", state_.step, state_.bad_in_a_row, why,
               batch.front().number, batch.back().number);
  if (state_.bad_in_a_row < static_cast<std::uint64_t>(setup_.train.max_bad_steps)) return;
  try {
    write_file_atomically(
        setup_.folder / kBadBatch,
        json_page(bad_batch_json(state_.step, why, batch, {setup_.corpora, setup_.shards, setup_.denoisers})));
  } catch (const std::system_error& error) {
    spdlog::error("cannot describe the batch: {}", error.what());
  }
}

StepStatistics TrainLoop::forward_backward(const Batch& batch) {
  const auto micro_rows = static_cast<std::size_t>(setup_.train.micro_rows);
  const auto loss_rows = static_cast<std::size_t>(setup_.train.loss_rows);
  const double share = static_cast<double>(micro_rows) / static_cast<double>(batch.size());
  StepStatistics tally(setup_.corpora, setup_.denoisers);
  const std::span<const StreamRow> rows(batch);
  const auto part = [&](std::size_t i) { return rows.subspan(i * micro_rows, micro_rows); };
  const auto micro_batch = [&](std::size_t i) {
    gather_rows(part(i), rows_);
    TokenBatch gathered = batch_of(rows_, 0, rows_.rows);
    gathered.seed = setup_.seed;
    gathered.step = state_.step;
    gathered.first_row = i * micro_rows;
    const std::size_t group = i * micro_rows / loss_rows;
    gathered.loss_divisor = mean_loss_weight(rows.subspan(group * loss_rows, loss_rows), micro_rows);
    return gathered;
  };
  const auto done = [&](std::size_t i, const Losses& losses, const TokenScores& scores) {
    tally.add(part(i), losses, scores, share);
  };
  backend_->forward_backward({.count = batch.size() / micro_rows, .share = share, .rows = micro_batch, .done = done});
  return tally;
}

void TrainLoop::evaluate_now(const Hooks& hooks) {
  if (setup_.held_out.empty()) return;
  const Clock::time_point start = Clock::now();
  const Scorer score = [this](const ScoredBatches& batches) { backend_->score(batches); };
  const Evaluation causal =
      evaluate(score, setup_.held_out, setup_.sequence_length, setup_.train.micro_rows, setup_.pad, &unigram_);
  std::optional<Evaluation> own;  // Nothing is recorded unless all was computed.
  if (const std::optional<ObjectiveRows>& rows = objective_rows())
    own = evaluate(score, *rows, setup_.train.micro_rows, &unigram_);
  state_.add_evaluation(std::make_shared<const Json>(causal.line(state_.step)));
  log_->metrics(*state_.last_evaluation);
  hooks.on_evaluation(state_.step, causal);
  if (own) {
    const auto line = std::make_shared<const Json>(own->line(state_.step));
    state_.add_own_evaluation(own->objective, line);
    log_->metrics(*line);
    hooks.on_evaluation(state_.step, *own);
  }
  state_.evaluated_at = state_.step;
  state_.times.evaluation += seconds_since(start);
}

/// Held-out rows of the phase of the last row trained on; before any row, of the first phase.
const std::optional<ObjectiveRows>& TrainLoop::objective_rows() {
  const std::uint32_t phase = state_.position ? state_.position->phase : 0;
  if (phase_of_rows_ != phase) {
    objective_rows_ = setup_.objective_rows(phase);
    phase_of_rows_ = phase;
  }
  return objective_rows_;
}

}  // namespace millrace
