#include "cli/console/job_progress.h"

#include <algorithm>

#include "cli/console/interrupt.h"
#include "cli/console/messages.h"

namespace millrace {

JobCallbacks JobProgress::callbacks() {
  JobCallbacks callbacks;
  callbacks.progress = [this](const std::string& what, std::uint64_t done, std::uint64_t total, const char* unit) {
    if (what != what_) line_.emplace(what, total, unit);
    what_ = what;
    line_->update(std::min(done, total));
  };
  callbacks.notice = [](const std::string& line) { say_line(line); };
  callbacks.interrupted = interrupt_requested;
  return callbacks;
}

}  // namespace millrace
