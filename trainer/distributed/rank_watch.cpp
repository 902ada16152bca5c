#include "trainer/distributed/rank_watch.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "trainer/distributed/gone_ranks.h"
#include "trainer/distributed/run_folder_check.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kBetween(1);
constexpr std::chrono::milliseconds kBetweenLooks(50);
constexpr std::chrono::milliseconds kToWrite(400);  ///< A launcher kills what it told to end after a second.

std::string place(int rank, const std::string& host) {
  return fmt::format("rank {} ({})", rank, host);
}

bool is_waiting(const RankStatus& status) {
  return !status.awaits.empty();
}

/// Whether all other ranks wait, too, and have for long: one that just began to may still be served.
bool all_wait(const RankStatus& mine, const std::vector<HeardRank>& others, double stall_seconds) {
  return static_cast<int>(others.size()) + 1 == mine.ranks && std::ranges::all_of(others, [&](const HeardRank& one) {
           return is_waiting(one.status) && one.status.for_seconds + one.silent > stall_seconds / 2;
         });
}

}  // namespace

std::string stall_of(const RankStatus& mine, Activity::Kind kind, const std::vector<HeardRank>& others,
                     double stall_seconds) {
  const bool is_long = waits_long(mine, kind, stall_seconds);
  // A wait may be as long as a silence and noticed first: what then was silent for half of it is to blame.
  const double silence = is_long ? stall_seconds / 2 : stall_seconds;
  const auto quiet = std::ranges::find_if(others, [&](const HeardRank& one) { return one.silent > silence; });
  if (quiet == others.end() && !is_long) return {};
  const std::string me = place(mine.rank, mine.host);
  const std::string waits = kind == Activity::Kind::works
                                ? fmt::format("{}: {}, in step {}; it misses", me, mine.doing, mine.step)
                                : fmt::format("{} waits in step {} for {} of", me, mine.step, mine.doing);
  if (quiet != others.end()) {
    const RankStatus& status = quiet->status;
    return fmt::format("{} {}, which was last heard {:.0f} s ago: {}, in step {}", waits,
                       place(status.rank, status.host), quiet->silent, status.doing, status.step);
  }
  const std::string since = fmt::format("{} others since {:.0f} s", waits, mine.for_seconds);
  if (all_wait(mine, others, stall_seconds))
    return fmt::format(
        "{}. All ranks are there and wait for each other, this one for {}: is the network between them gone?", since,
        fmt::join(mine.awaits, ", "));
  std::vector<std::string> whom;
  for (const auto& [status, silent, is_beating] : others)
    if (std::ranges::find(mine.awaits, status.rank) != mine.awaits.end())
      whom.push_back(fmt::format("{}: {}, in step {}, for {:.0f} s", place(status.rank, status.host), status.doing,
                                 status.step, status.for_seconds + silent));
  return fmt::format("{}. {}", since, fmt::join(whom, "; "));
}

bool waits_long(const RankStatus& mine, Activity::Kind kind, double stall_seconds) {
  return kind == Activity::Kind::exchanges && mine.for_seconds > stall_seconds;
}

RankWatch::RankWatch(const Communicator& ranks, std::vector<RankFacts> facts, Options options)
    : ranks_(ranks), facts_(std::move(facts)), options_(std::move(options)), thread_([this] { run(); }) {}

RankWatch::~RankWatch() {
  {
    const std::unique_lock lock(mutex_);
    ends_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

/// Rank 0 is the one that hears all: a rank that has stopped need not be one that is waited for. The others hear rank
/// 0, and all when they have waited for long.
std::vector<int> RankWatch::watched(const RankStatus& mine, bool is_long) const {
  std::vector<int> whom = mine.awaits;
  if (mine.rank == 0 || is_long) {
    whom.clear();
    for (int rank = 0; rank < mine.ranks; ++rank)
      if (rank != mine.rank) whom.push_back(rank);
  } else if (std::ranges::find(whom, 0) == whom.end()) {
    whom.push_back(0);
  }
  return whom;
}

RankStatus RankWatch::status(const Activity::State& state) {
  const RankFacts& facts = facts_[static_cast<std::size_t>(ranks_.rank())];
  return {.rank = ranks_.rank(),
          .ranks = ranks_.size(),
          .host = facts.host,
          .process = facts.process,
          .time = seconds_since_1970(),
          .beats = ++beats_,
          .has_ended = false,
          .is_told_to_end = is_told_to_end_,
          .step = state.step,
          .doing = state.doing,
          .for_seconds = std::chrono::duration<double>(Activity::Clock::now() - state.since).count(),
          .awaits = state.kind == Activity::Kind::works ? std::vector<int>() : ranks_.awaited(),
          .memory = options_.memory()};
}

RankStatus RankWatch::unheard(int rank) const {
  RankStatus status;
  status.rank = rank;
  status.ranks = ranks_.size();
  status.host = facts_[static_cast<std::size_t>(rank)].host;
  status.process = facts_[static_cast<std::size_t>(rank)].process;
  status.doing = "has told nothing yet";
  return status;
}

/// Writes this rank's file, or tells once that it cannot.
void RankWatch::write(const RankStatus& status) {
  try {
    write_status(rank_file(options_.run_folder, ranks_.rank(), "status"), status);
  } catch (const std::exception& error) {
    if (!std::exchange(has_warned_, true)) spdlog::warn("{}; the run goes on without it", error.what());
  }
}

/// Writes this rank's file and listens to others: what is wrong; empty: nothing.
std::string RankWatch::beat(RankListener& listener) {
  const Activity::State state = ranks_.activity().state();
  const RankStatus mine = status(state);
  write(mine);
  std::vector<HeardRank> others;
  for (const int rank : watched(mine, waits_long(mine, state.kind, options_.stall_seconds)))
    others.push_back(listener.hear(rank, unheard(rank)));
  return stall_of(mine, state.kind, others, options_.stall_seconds);
}

/// The others have a moment to write that they were told to end as well.
void RankWatch::look_who_is_gone() {
  const auto until = Clock::now() + kToWrite;
  const RankStatus mine = status(ranks_.activity().state());
  write(mine);
  while (true) {
    std::vector<RankStatus> others;
    for (int rank = 0; rank < mine.ranks; ++rank) {
      if (rank == mine.rank) continue;
      const std::optional<RankStatus> read = read_status(rank_file(options_.run_folder, rank, "status"));
      const RankStatus none = unheard(rank);
      others.push_back(read && read->process == none.process ? *read : none);
    }
    const std::string gone = gone_ranks(mine, others, has_process);
    if (gone.empty()) return;
    if (Clock::now() >= until) return options_.on_gone(gone);
    if (wait(kBetweenLooks)) return;
  }
}

/// Whether the rank ends. Returns early as well when it was told to.
bool RankWatch::wait(std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  std::unique_lock lock(mutex_);
  while (!ends_ && Clock::now() < until && (is_told_to_end_ || !options_.is_told_to_end()))
    wake_.wait_for(lock, kBetweenLooks);
  return ends_;
}

void RankWatch::run() {
  RankListener listener(options_.run_folder);
  do {
    if (!is_told_to_end_ && options_.is_told_to_end()) {
      is_told_to_end_ = true;
      look_who_is_gone();
    }
    const std::string stall = beat(listener);
    if (!stall.empty()) {
      options_.on_stall(stall);
      return;
    }
  } while (!wait(kBetween));
  Activity::State ended = ranks_.activity().state();
  ended.kind = Activity::Kind::works;
  ended.doing = "has ended";
  ended.since = Activity::Clock::now();
  RankStatus last = status(ended);
  last.has_ended = true;
  write(last);
}

}  // namespace millrace
