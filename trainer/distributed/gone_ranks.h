#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trainer/distributed/rank_status.h"

namespace millrace {

/// Which ranks are gone, in words, by their status files; empty: none, or a lower rank that is left says it.
/// `mine`: of a rank that a signal told to end, as a launcher tells all that are left when one is gone. `others`: all
/// other ranks. Gone is who neither was told nor has ended: on another machine, or, on this one, when its process is
/// not there (`is_there`), for one that is may be slow to write.
std::string gone_ranks(const RankStatus& mine, const std::vector<RankStatus>& others,
                       const std::function<bool(std::int64_t)>& is_there);

/// Whether this machine has a process of this number.
bool has_process(std::int64_t process);

}  // namespace millrace
