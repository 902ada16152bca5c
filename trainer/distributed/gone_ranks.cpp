#include "trainer/distributed/gone_ranks.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/types.h>

namespace millrace {

std::string gone_ranks(const RankStatus& mine, const std::vector<RankStatus>& others,
                       const std::function<bool(std::int64_t)>& is_there) {
  std::vector<std::string> gone;
  for (const RankStatus& one : others) {
    if (one.is_told_to_end && one.rank < mine.rank) return {};
    if (one.is_told_to_end || one.has_ended) continue;
    if (one.host == mine.host && is_there(one.process)) continue;
    gone.push_back(fmt::format("rank {} ({}), last heard in step {}: {}", one.rank, one.host, one.step, one.doing));
  }
  if (gone.empty()) return {};
  return fmt::format("gone without a word, killed or with a machine: {}", fmt::join(gone, "; "));
}

bool has_process(std::int64_t process) {
  return ::kill(static_cast<pid_t>(process), 0) == 0 || errno == EPERM;
}

}  // namespace millrace
