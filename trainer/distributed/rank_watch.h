#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "trainer/distributed/activity.h"
#include "trainer/distributed/communicator.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/distributed/rank_listener.h"
#include "trainer/distributed/rank_status.h"

namespace millrace {

/// A thread that writes a rank's status file every second, and finds out when the job hangs: an exchange that lasts
/// longer than `stall_seconds`, or a rank that has not written its own file for so long. Once this rank is told to end
/// it says so in its file at once, and looks who did not: launchers tell all that are left when a rank is gone, and
/// kill them a second later.
class RankWatch {
 public:
  struct Options {
    std::filesystem::path run_folder;
    double stall_seconds = 0;
    std::function<std::uint64_t()> memory = [] { return std::uint64_t{0}; };  ///< Resident bytes.
    /// Called once, on the thread, with who waits for whom; is to end the job.
    std::function<void(const std::string&)> on_stall;
    std::function<bool()> is_told_to_end = [] { return false; };
    /// Called at most once, on the thread, on the first rank that is left, with those that are gone.
    std::function<void(const std::string&)> on_gone = [](const std::string&) {};
  };
  RankWatch(const Communicator& ranks, std::vector<RankFacts> facts, Options options);
  ~RankWatch();  ///< Says in the file that the rank has ended.
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

 private:
  void run();
  RankStatus status(const Activity::State& state);
  RankStatus unheard(int rank) const;  ///< What stands for a rank that wrote nothing yet.
  void write(const RankStatus& status);
  std::string beat(RankListener& listener);
  void look_who_is_gone();
  bool wait(std::chrono::milliseconds patience);
  std::vector<int> watched(const RankStatus& mine, bool is_long) const;

  const Communicator& ranks_;
  const std::vector<RankFacts> facts_;
  const Options options_;
  std::uint64_t beats_ = 0;
  bool is_told_to_end_ = false;
  bool has_warned_ = false;  ///< That the file cannot be written.
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;
};

/// Whether a rank whose activity is of this kind waits longer than it may.
bool waits_long(const RankStatus& mine, Activity::Kind kind, double stall_seconds);

/// What is wrong, in words; empty: nothing. `mine`: of the rank that asks, whose activity is of this kind; `others`: of
/// those that it listens to, all where it waits long. No two machines' clocks are compared.
std::string stall_of(const RankStatus& mine, Activity::Kind kind, const std::vector<HeardRank>& others,
                     double stall_seconds);

}  // namespace millrace
