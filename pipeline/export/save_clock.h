#pragma once

#include <chrono>
#include <cstdint>

#include "pipeline/job.h"

namespace millrace {

/// How writing token files is watched, and how often it is saved.
struct ExportWatch : JobCallbacks {
  std::chrono::seconds save_every{15};  ///< 0: whenever there is something to save.
};

enum class ExportEnd : std::uint8_t { complete, interrupted };

/// Tells when to save again.
class SaveClock {
 public:
  explicit SaveClock(std::chrono::seconds every) : every_(every) {}
  bool is_due() const { return std::chrono::steady_clock::now() - saved_ >= every_; }
  void saved() { saved_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::seconds every_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
};

}  // namespace millrace
