#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "stages/records.h"

namespace millrace {

/// Chooses the rejects to log: for each corpus and cause the first, the tenth, the hundredth, ... One object, one
/// thread.
class RejectNotices {
 public:
  using Counts = std::array<std::uint64_t, kRejectCauses>;

  /// Rejects of a corpus that were counted earlier, by cause: not reported again.
  void begin(const std::string& corpus, const Counts& before) { counts_[corpus] = before; }
  /// Counts a reject. Returns a line for the log, if it is one to report.
  std::optional<std::string> line(const std::string& corpus, const Reject& reject);

 private:
  std::map<std::string, Counts> counts_;
};

}  // namespace millrace
