#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "pipeline/corpora/record_counts.h"
#include "stages/record_layout.h"
#include "stages/records.h"

namespace millrace {

/// How much data is bad, and when that is too much: the same rule for training, preprocess and index.

/// A corpus is judged once so many records, or bytes of content, were read or lost; one that ends sooner is judged at
/// its end, and every corpus at the end of each epoch.
inline constexpr std::uint64_t kRecordsBeforeJudging = 10'000;
inline constexpr std::uint64_t kBytesBeforeJudging = 1ull << 30;

/// Fraction lost, 0 to 1: of records or of content bytes, whichever is larger. `sound` is what could be read. 0 if both
/// are 0.
double lost_part(const Loss& sound, const Loss& lost);

/// Whether a cause concerns a single record, not a container or a part of it.
bool is_of_a_record(RejectCause cause);

/// Whether a reject of this cause means that something could not be read. An empty or too long text could be read; and
/// a text file is one record, so a bad one is not an unreadable shard.
bool says_unreadable(RejectCause cause, const RecordLayout& layout);

/// "SHARD:LINE (record N, byte B): cause: reason"; a container's damage has no line.
std::string text_of(const Reject& reject);

/// The error message for a reject under on_bad_data = "fail".
std::string refusal_of(const Reject& reject, const std::string& corpus);

/// The error message for a shard of which nothing could be read. `first`: the first reject that says so.
std::string unreadable_shard(const std::string& corpus, const std::string& shard, const Reject& first);

/// Judges one corpus. Keeps, for the message, the first reject and the loss of each cause. One object, one thread.
class LossJudge {
 public:
  LossJudge(std::string corpus, double max_bad_fraction)
      : corpus_(std::move(corpus)), max_bad_fraction_(max_bad_fraction) {}

  void note(const Reject& reject);
  /// If too much is lost, the error message: how much, and the main cause with its first reject. Empty if not, or if
  /// too little was read to judge. `at_end`: of the corpus or of an epoch.
  std::optional<std::string> verdict(const RecordCounts& counts, bool at_end) const;

 private:
  struct Cause {
    std::optional<std::string> first;
    std::uint64_t rejects = 0;
    Loss lost{0, 0};
  };
  std::string corpus_;
  double max_bad_fraction_;
  std::array<Cause, kRejectCauses> causes_;
};

}  // namespace millrace
