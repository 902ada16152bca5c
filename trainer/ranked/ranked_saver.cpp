#include "trainer/ranked/ranked_saver.h"

#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>

#include "trainer/checkpoint/checkpoint.h"

namespace millrace {

namespace fs = std::filesystem;

RankedSaver::RankedSaver(RankedBackend& backend, std::vector<std::string> hosts, fs::path parent, KeepRule keep,
                         CheckpointTexts texts, std::uint64_t most_bytes)
    : backend_(backend),
      hosts_(std::move(hosts)),
      writers_(writers_by_machine(hosts_)),
      parent_(std::move(parent)),
      keep_(keep),
      texts_(std::move(texts)),
      most_bytes_(most_bytes) {}

RankedSaver::~RankedSaver() {
  if (unfinished_) {
    backend_.wait_for_own_save();
    spdlog::error("the state of step {} was not saved: the run ended while ranks wrote it", step_);
  }
  if (!publishing_.valid()) return;
  const Outcome outcome = publishing_.get();
  if (!outcome.error.empty()) spdlog::error("the state of step {} was not saved: {}", outcome.step, outcome.error);
}

void RankedSaver::begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before) {
  if (unfinished_ || publishing_.valid()) throw std::logic_error("RankedSaver: the save before is not done");
  start_ = Clock::now();
  const auto record = std::make_shared<const CheckpointRecord>(record_of(parts, identity));
  auto unfinished = std::make_unique<UnfinishedCheckpoint>(parent_, record->place());
  step_ = record->state.step;
  const fs::path folder = fs::absolute(unfinished->folder());
  unfinished_ = std::move(unfinished);
  backend_.begin_save({folder, step_, writers_, most_bytes_},
                      [this, record, folder, before = std::move(before)](const std::vector<TensorFile>& files) {
                        before();
                        write_record(folder, *record, files, texts_);
                      });
}

std::optional<CheckpointSaver::Outcome> RankedSaver::poll() {
  if (publishing_.valid()) {
    if (publishing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
    return publishing_.get();
  }
  if (!unfinished_) return std::nullopt;
  SaveState all = state_of_save(step_, backend_.reports_of_save(), hosts_);
  if (all.is_busy) return std::nullopt;
  publishing_ = std::async(std::launch::async, [this, all = std::move(all), unfinished = std::move(unfinished_)] {
    return end(all, *unfinished);
  });
  return std::nullopt;
}

std::optional<CheckpointSaver::Outcome> RankedSaver::wait() {
  constexpr std::chrono::milliseconds kBetween(10);
  while (unfinished_ || publishing_.valid()) {
    if (publishing_.valid()) return publishing_.get();
    if (std::optional<Outcome> outcome = poll()) return outcome;
    if (unfinished_) std::this_thread::sleep_for(kBetween);
  }
  return std::nullopt;
}

/// A valid folder of that step stays, as publish_checkpoint() has it.
CheckpointSaver::Outcome RankedSaver::end(const SaveState& all, UnfinishedCheckpoint& unfinished) const {
  return ended(step_, start_, keep_, [&] {
    if (!all.failure.empty()) throw std::runtime_error(all.failure);
    const fs::path there = checkpoint_path(parent_, step_);
    return fs::exists(there) && damage_of(there).empty() ? there : unfinished.publish(all.files);
  });
}

}  // namespace millrace
