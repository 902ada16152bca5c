#pragma once

#include <optional>
#include <string>
#include <utility>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/loss_judge.h"
#include "pipeline/corpora/record_counts.h"
#include "pipeline/mix/encoded_record.h"

namespace millrace {

/// What became of a corpus's records, and whether too much of them is bad: for whoever takes encoded records in their
/// order, the stream and preprocess alike. One object, one thread.
class RecordAccount {
 public:
  /// `before`: what was taken before a stop.
  RecordAccount(const StreamConfig& config, const std::string& corpus, RecordCounts before)
      : RecordAccount(config.on_bad_data, config.max_bad_fraction, corpus, std::move(before)) {}
  RecordAccount(OnBadData on_bad_data, double max_bad_fraction, const std::string& corpus, RecordCounts before)
      : corpus_(corpus), on_bad_data_(on_bad_data), judge_(corpus, max_bad_fraction), counts_(std::move(before)) {}

  /// Why an item ends the job by itself, in words: it has a reject, and on_bad_data is "fail".
  std::optional<std::string> refusal(const EncodedRecord& item) const;
  /// Counts an item. Returns what it adds.
  RecordCounts add(const EncodedRecord& item);
  /// Why too much is lost behind the item that was added last, in words; see LossJudge. An epoch or corpus is judged at
  /// its end however small it is.
  std::optional<std::string> verdict(const EncodedRecord& last) const;

  const RecordCounts& counts() const { return counts_; }

 private:
  std::string corpus_;
  OnBadData on_bad_data_;
  LossJudge judge_;
  RecordCounts counts_;
};

}  // namespace millrace
