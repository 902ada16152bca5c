#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "trainer/distributed/rank_status.h"

namespace millrace {

/// What one hears of a rank, by one's own clock alone: those of machines differ.
struct HeardRank {
  RankStatus status;
  double silent = 0;        ///< Seconds since it wrote its file last, or since one listens to it.
  bool is_beating = false;  ///< It wrote its file while one listened.
};

/// Listens to ranks by their status files. One thread.
class RankListener {
 public:
  explicit RankListener(std::filesystem::path run_folder) : run_folder_(std::move(run_folder)) {}

  /// Of a rank that wrote no file yet: `unheard`.
  HeardRank hear(int rank, const RankStatus& unheard);

 private:
  using Clock = std::chrono::steady_clock;
  struct Last {
    RankStatus status;
    Clock::time_point since;
    bool is_beating = false;
  };
  std::filesystem::path run_folder_;
  std::map<int, Last> last_;
};

/// All ranks of a run folder, as many as its last job had, after one listened to them until all that have not ended
/// were heard, or for so long.
std::vector<HeardRank> listen_to_ranks(const std::filesystem::path& run_folder, std::chrono::milliseconds patience);

}  // namespace millrace
