#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <optional>

#include "pipeline/mutex.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Hand-over from the graph to the trainer; holds at most `capacity` batches. Any thread.
/// push waits for pop or stop; pop waits for push, finish, fail or stop.
class BatchQueue {
 public:
  explicit BatchQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room. False: stopped, the batch was not taken.
  bool push(Batch batch);
  /// Waits for a batch. Empty: end of data, or stopped. Throws what fail() was given, after all batches before it.
  /// Asks `interrupted` some times a second, and is empty once it says so.
  std::optional<Batch> pop(const std::function<bool()>& interrupted = [] { return false; });
  /// Graph: no more will come. `end`: see DataPipeline::end().
  void finish(StreamRow end = {});
  /// Graph: this instead of more. The first error wins.
  void fail(std::exception_ptr error, StreamRow end = {});
  /// Trainer: no more wanted. Drops what is held.
  void stop();
  /// Trainer: what finish or fail was given. REQUIRES: pop() was empty or threw, and nobody called stop.
  const StreamRow& end();

 private:
  const std::size_t capacity_;
  Mutex mutex_;
  Condition changed_;
  std::deque<Batch> batches_ GUARDED_BY(mutex_);
  bool finished_ GUARDED_BY(mutex_) = false;
  StreamRow end_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::exception_ptr error_ GUARDED_BY(mutex_);
};

}  // namespace millrace
