#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace millrace {

/// Parts of a training step whose time is measured. A norm counts for the part that follows it.
enum class Part : std::uint8_t { attention, dense_ffn, router, dispatch, experts, head_and_loss, optimizer, data_wait };

inline constexpr std::array<const char*, 8> kPartNames{"attention", "dense_ffn",     "router",    "dispatch",
                                                       "experts",   "head_and_loss", "optimizer", "data_wait"};

/// Seconds of each part, added up. Written by the calling thread alone, outside of parallel regions.
struct Profile {
  std::array<double, kPartNames.size()> seconds{};
  std::function<void()> settle;  ///< Waits until work that was given is done, where it is not done at once.

  double& operator[](Part part) { return seconds[static_cast<std::size_t>(part)]; }
  /// Seconds since the profile was as `before`.
  Profile since(const Profile& before) const {
    Profile parts;
    for (std::size_t i = 0; i < seconds.size(); ++i) parts.seconds[i] = seconds[i] - before.seconds[i];
    return parts;
  }
};

/// Adds its lifetime to a part; does nothing without a profile.
class PartTimer {
 public:
  PartTimer(Profile* profile, Part part) : profile_(profile), part_(part) {
    if (profile_ == nullptr) return;
    if (profile_->settle) profile_->settle();
    start_ = Clock::now();
  }
  ~PartTimer() { stop(); }
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;

  /// Ends the present part and begins another.
  void next(Part part) {
    stop();
    part_ = part;
  }

 private:
  using Clock = std::chrono::steady_clock;
  void stop() {
    if (profile_ == nullptr) return;
    if (profile_->settle) profile_->settle();
    const Clock::time_point now = Clock::now();
    (*profile_)[part_] += std::chrono::duration<double>(now - start_).count();
    start_ = now;
  }

  Profile* profile_;
  Part part_;
  Clock::time_point start_;
};

}  // namespace millrace
