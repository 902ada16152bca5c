#include "pipeline/stream/batch_queue.h"

#include <chrono>
#include <utility>

namespace millrace {

bool BatchQueue::push(Batch batch) {
  const MutexLock lock(mutex_);
  while (!stopped_ && batches_.size() >= capacity_) changed_.wait(mutex_);
  if (stopped_) return false;
  batches_.push_back(std::move(batch));
  changed_.notify_all();
  return true;
}

std::optional<Batch> BatchQueue::pop(const std::function<bool()>& interrupted) {
  constexpr std::chrono::milliseconds kBetween(100);
  // It is asked without the lock: it may wait for a lock of its own, and who has that may call stop().
  do {
    const MutexLock lock(mutex_);
    if (!stopped_ && !finished_ && error_ == nullptr && batches_.empty()) changed_.wait_for(mutex_, kBetween);
    if (stopped_) return std::nullopt;
    if (!batches_.empty()) {
      std::optional<Batch> batch(std::move(batches_.front()));
      batches_.pop_front();
      changed_.notify_all();
      return batch;
    }
    if (error_ != nullptr) std::rethrow_exception(error_);
    if (finished_) return std::nullopt;
  } while (!interrupted());
  return std::nullopt;
}

void BatchQueue::finish(StreamRow end) {
  const MutexLock lock(mutex_);
  finished_ = true;
  end_ = std::move(end);
  changed_.notify_all();
}

void BatchQueue::fail(std::exception_ptr error, StreamRow end) {
  const MutexLock lock(mutex_);
  if (error_ == nullptr) {
    error_ = std::move(error);
    end_ = std::move(end);
  }
  changed_.notify_all();
}

/// Nothing changes it any more.
const StreamRow& BatchQueue::end() {
  const MutexLock lock(mutex_);
  return end_;
}

void BatchQueue::stop() {
  const MutexLock lock(mutex_);
  stopped_ = true;
  batches_.clear();
  changed_.notify_all();
}

}  // namespace millrace
