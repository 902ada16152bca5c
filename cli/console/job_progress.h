#pragma once

#include <optional>
#include <string>

#include "cli/console/progress.h"
#include "pipeline/job.h"

namespace millrace {

/// Connects a job to the terminal: a progress line for each of its parts, its notices on standard error, and the check
/// for Ctrl-C.
class JobProgress {
 public:
  /// The callbacks for the job; they refer to this object.
  JobCallbacks callbacks();
  /// Ends the progress line; further progress begins another one.
  void finish() {
    line_.reset();
    what_.clear();
  }

 private:
  std::string what_;
  std::optional<Progress> line_;
};

}  // namespace millrace
