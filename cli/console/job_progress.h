#pragma once

#include <optional>
#include <string>

#include "cli/console/progress.h"
#include "pipeline/job.h"

namespace millrace {

/// A job on the terminal: a progress line for each of its parts, its notices on standard error, and Ctrl-C asked about.
class JobProgress {
 public:
  /// What the job is given; refers to this object.
  JobCallbacks callbacks();
  /// Ends the line. What comes then begins another.
  void finish() {
    line_.reset();
    what_.clear();
  }

 private:
  std::string what_;
  std::optional<Progress> line_;
};

}  // namespace millrace
