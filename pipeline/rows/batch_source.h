#pragma once

#include <optional>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// The source of a trainer's rows, made on the fly or stored: the stream's rows in their order, a batch at a time. One
/// object, one thread.
class BatchSource {
 public:
  BatchSource() = default;
  virtual ~BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  /// The next batch; empty at the end, before which the last batch may be an incomplete one. Throws DataError.
  virtual std::optional<Batch> next() = 0;
  /// What follows the last row, as a row without examples and tokens: the rejects since, and the final position. Call
  /// after next() was empty or threw.
  virtual StreamRow end() = 0;
  /// No more batches are wanted.
  virtual void stop() {}
};

}  // namespace millrace
