#include "trainer/loop/state_saver.h"

#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "trainer/loop/seconds_since.h"

namespace millrace {
StateSaver::StateSaver(Options options, TrainedParts parts, std::function<void()> check)
    : options_(std::move(options)), parts_(parts), check_(std::move(check)) {}

void StateSaver::open(RunLog& log) {
  log_ = &log;
  writer_ = options_.saver();
}

void StateSaver::poll() {
  if (const auto outcome = writer_->poll()) take_note(*outcome);
}

void StateSaver::wait() {
  if (const auto outcome = writer_->wait()) take_note(*outcome);
}

void StateSaver::save_if_due() {
  if (!save_from_ || Clock::now() < *save_from_ || parts_.state.bad_in_a_row > 0) return;
  try {
    begin_save();
  } catch (const std::system_error& error) {
    CheckpointSaver::Outcome outcome;
    outcome.step = parts_.state.step;
    outcome.error = error.what();
    take_note(outcome);
  }
}

void StateSaver::begin_save() {
  const Clock::time_point start = Clock::now();
  wait();
  save_from_.reset();
  check_();
  log_->retry();
  writer_->begin(parts_, options_.identity, [log = log_] { log->sync(); });
  save_pause_ = seconds_since(start);
  parts_.state.times.checkpoint += save_pause_;
}

void StateSaver::take_note(const CheckpointSaver::Outcome& outcome) {
  if (!outcome.warning.empty()) spdlog::warn("older checkpoints were not removed: {}", outcome.warning);
  if (outcome.error.empty()) {
    saved_at_ = outcome.step;
    spdlog::info("saved {}: written in {:.2f} s, training paused {:.3f} s for it", outcome.folder.string(),
                 outcome.seconds, save_pause_);
    return;
  }
  ++parts_.state.failed_saves;
  spdlog::error(
      "THE STATE OF STEP {} WAS NOT SAVED: {}. The newest checkpoint is {}; training goes on, and saving is "
      "tried again within {:.0f} s",
      outcome.step, outcome.error, newest_checkpoint(), options_.again_after);
  const auto again = std::chrono::duration<double>(options_.again_after);
  save_from_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(again);
}

void StateSaver::save_last() {
  if (has_saved_the_last()) return;
  const Clock::time_point start = Clock::now();
  const double counted_before = parts_.state.times.checkpoint;
  std::string why;
  try {
    begin_save();
    const std::optional<CheckpointSaver::Outcome> outcome = writer_->wait();
    why = outcome->error;
    if (why.empty()) take_note(*outcome);
  } catch (const std::system_error& error) {
    why = error.what();
  }
  parts_.state.times.checkpoint = counted_before + seconds_since(start);
  if (why.empty()) return;
  throw std::runtime_error(
      fmt::format("the last step, {}, could not be saved: {}. The newest checkpoint is {}; make room and go on with "
                  "--resume",
                  parts_.state.step, why, newest_checkpoint()));
}

std::string StateSaver::newest_checkpoint() const {
  return saved_at_ ? fmt::format("that of step {}", *saved_at_) : "none";
}

}  // namespace millrace
