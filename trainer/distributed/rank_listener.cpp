#include "trainer/distributed/rank_listener.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "trainer/distributed/run_folder_check.h"

namespace millrace {

HeardRank RankListener::hear(int rank, const RankStatus& unheard) {
  const Clock::time_point now = Clock::now();
  const std::optional<RankStatus> read = read_status(rank_file(run_folder_, rank, "status"));
  const auto [found, is_first] = last_.try_emplace(rank, Last{read.value_or(unheard), now});
  Last& last = found->second;
  if (read && !is_first && (read->beats != last.status.beats || read->process != last.status.process))
    last = {*read, now, true};
  return {last.status, std::chrono::duration<double>(now - last.since).count(), last.is_beating};
}

std::vector<HeardRank> listen_to_ranks(const std::filesystem::path& run_folder, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kBetween(100);
  const auto end = std::chrono::steady_clock::now() + patience;
  RankListener listener(run_folder);
  while (true) {
    std::vector<HeardRank> heard;
    for (const RankStatus& status : read_statuses(run_folder)) heard.push_back(listener.hear(status.rank, status));
    const bool is_done =
        std::ranges::all_of(heard, [](const HeardRank& one) { return one.is_beating || one.status.has_ended; });
    if (is_done || std::chrono::steady_clock::now() >= end) return heard;
    std::this_thread::sleep_for(kBetween);
  }
}

}  // namespace millrace
