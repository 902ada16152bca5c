#include "trainer/checkpoint/checkpoint_writer.h"

#include <chrono>
#include <stdexcept>
#include <utility>

#include <spdlog/spdlog.h>

namespace millrace {

CheckpointWriter::CheckpointWriter(std::filesystem::path parent, KeepRule keep, CheckpointTexts texts)
    : parent_(std::move(parent)), keep_(keep), texts_(std::move(texts)) {}

CheckpointWriter::~CheckpointWriter() {
  const std::optional<Outcome> outcome = wait();
  if (outcome && !outcome->error.empty())
    spdlog::error("the state of step {} was not saved: {}", outcome->step, outcome->error);
}

void CheckpointWriter::begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before) {
  if (writing_.valid()) throw std::logic_error("CheckpointWriter: the save before is not done");
  copy_.take(parts, identity);
  writing_ = std::async(std::launch::async, [this, before = std::move(before)] { return write(before); });
}

std::optional<CheckpointWriter::Outcome> CheckpointWriter::poll() {
  if (!writing_.valid() || writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return std::nullopt;
  return writing_.get();
}

std::optional<CheckpointWriter::Outcome> CheckpointWriter::wait() {
  if (!writing_.valid()) return std::nullopt;
  return writing_.get();
}

CheckpointWriter::Outcome CheckpointWriter::write(const std::function<void()>& before) const {
  return ended(copy_.record().state.step, Clock::now(), keep_, [&] {
    before();
    return save_checkpoint(parent_, copy_, texts_);
  });
}

}  // namespace millrace
