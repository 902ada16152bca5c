#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace millrace {

/// What a rank does, for those who watch it. Any thread.
class Activity {
 public:
  using Clock = std::chrono::steady_clock;
  /// Who waits for what.
  enum class Kind : std::uint8_t {
    works,      ///< Waits for nobody.
    exchanges,  ///< Waits for others, who are to come soon.
    listens,    ///< Waits for rank 0, which may do something else for long.
  };
  struct State {
    Kind kind = Kind::works;
    std::string doing = "starts";  ///< "computes micro-batch 3 of 8", "gradients", ...
    std::uint64_t step = 0;        ///< The step that is being made; 0: none yet.
    Clock::time_point since = Clock::now();
  };

  void begin(Kind kind, std::string doing) {
    const std::unique_lock lock(mutex_);
    const Clock::time_point now = Clock::now();
    if (state_.kind == Kind::exchanges)
      exchanged_[state_.doing] += std::chrono::duration<double>(now - state_.since).count();
    state_.kind = kind;
    state_.doing = std::move(doing);
    state_.since = now;
  }
  void begin_step(std::uint64_t step) {
    const std::unique_lock lock(mutex_);
    state_.step = step;
  }
  /// Seconds spent in exchanges that are over, by what was done.
  std::map<std::string, double> exchanged() const {
    const std::unique_lock lock(mutex_);
    return exchanged_;
  }
  State state() const {
    const std::unique_lock lock(mutex_);
    return state_;
  }

 private:
  mutable std::mutex mutex_;
  State state_;
  std::map<std::string, double> exchanged_;
};

}  // namespace millrace
