#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "pipeline/corpora/record_counts.h"
#include "stages/records.h"

namespace millrace {

/// What is told of with a document's first token: the document, and the records that were passed over on the way to
/// it. Small where nothing was.
class Told {
 public:
  Told() = default;
  Told(RecordCounts records, std::vector<Reject> rejects) {
    RecordCounts alone;
    alone.read = 1;
    alone.bytes = records.bytes;
    is_alone_ = records == alone && rejects.empty();
    if (is_alone_) bytes_ = records.bytes;
    if (!is_alone_) all_ = std::make_unique<All>(All{std::move(records), std::move(rejects)});
  }

  RecordCounts records() const {
    if (all_ != nullptr) return all_->records;
    RecordCounts alone;
    alone.read = is_alone_ ? 1 : 0;
    alone.bytes = bytes_;
    return alone;
  }
  /// Among what was passed over. Leaves none.
  std::vector<Reject> take_rejects() {
    return all_ == nullptr ? std::vector<Reject>() : std::exchange(all_->rejects, {});
  }

 private:
  struct All {
    RecordCounts records;
    std::vector<Reject> rejects;
  };
  std::unique_ptr<All> all_;
  std::uint64_t bytes_ = 0;  ///< Of a document alone.
  bool is_alone_ = false;
};

}  // namespace millrace
