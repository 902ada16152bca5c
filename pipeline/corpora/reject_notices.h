#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "stages/records.h"

namespace millrace {

/// Chooses the rejects that a log names: of each corpus the first of a cause, the tenth, the hundredth, ... One object,
/// one thread.
class RejectNotices {
 public:
  using Counts = std::array<std::uint64_t, kRejectCauses>;

  /// What was passed over of a corpus before, by cause: those were told.
  void begin(const std::string& corpus, const Counts& before) { counts_[corpus] = before; }
  /// Counts a reject. A line for the log, if it is one to be told.
  std::optional<std::string> line(const std::string& corpus, const Reject& reject);

 private:
  std::map<std::string, Counts> counts_;
};

}  // namespace millrace
