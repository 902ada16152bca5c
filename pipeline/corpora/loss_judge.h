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

/// How much is bad, and when that is too much: the one rule of training, preprocess and index.

/// Nothing is judged before a corpus has given or lost so many records, or so many bytes of content; a corpus that ends
/// sooner is judged at its end, and every corpus at the end of each epoch.
inline constexpr std::uint64_t kRecordsBeforeJudging = 10'000;
inline constexpr std::uint64_t kBytesBeforeJudging = 1ull << 30;

/// What part of all that was met is lost, 0 to 1: of the records or of the bytes of content, whichever is larger.
/// `sound` is what could be read. 0 if nothing was met.
double lost_part(const Loss& sound, const Loss& lost);

/// Whether a cause is a record's own, not one of a container or a part of it.
bool is_of_a_record(RejectCause cause);

/// Whether a reject of this cause says that what it names could not be read. One for an empty or too long text says
/// that it could; and a text file is one record, so that a bad one is no unreadable shard.
bool says_unreadable(RejectCause cause, const RecordLayout& layout);

/// "SHARD:LINE (record N, byte B): cause: reason"; a container's damage has no line.
std::string text_of(const Reject& reject);

/// A corpus's reject of which on_bad_data = "fail" makes the end, in words.
std::string refusal_of(const Reject& reject, const std::string& corpus);

/// A shard of which nothing could be read, in words. `first`: the first reject that says so.
std::string unreadable_shard(const std::string& corpus, const std::string& shard, const Reject& first);

/// Judges one corpus. Remembers what to blame: the first reject of each cause, and what each cause has lost. One
/// object, one thread.
class LossJudge {
 public:
  LossJudge(std::string corpus, double max_bad_fraction)
      : corpus_(std::move(corpus)), max_bad_fraction_(max_bad_fraction) {}

  void note(const Reject& reject);
  /// Why too much is lost, in words: how much, and of what cause and where most of it is; nothing if it is not, or if
  /// too little was met to be judged. `at_end`: of the corpus or of an epoch.
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
