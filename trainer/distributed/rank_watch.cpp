#include "trainer/distributed/rank_watch.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "trainer/distributed/run_folder_check.h"

namespace millrace {
namespace {

constexpr std::chrono::seconds kBetween(1);

std::string place(int rank, const std::string& host) {
  return fmt::format("rank {} ({})", rank, host);
}

}  // namespace

std::string stall_of(const RankStatus& mine, Activity::Kind kind, const std::vector<RankStatus>& others, double now,
                     double began, double stall_seconds) {
  const auto silent = [&](const RankStatus& one) { return now - std::max(one.time, began) > stall_seconds; };
  const auto quiet = std::ranges::find_if(others, silent);
  const bool is_long = kind == Activity::Kind::exchanges && mine.for_seconds > stall_seconds;
  if (quiet == others.end() && !is_long) return {};
  const std::string me = place(mine.rank, mine.host);
  const std::string waits = kind == Activity::Kind::works
                                ? fmt::format("{}: {}, in step {}; it misses", me, mine.doing, mine.step)
                                : fmt::format("{} waits in step {} for {} of", me, mine.step, mine.doing);
  if (quiet != others.end())
    return fmt::format("{} {}, which was last heard {:.0f} s ago: {}, in step {}", waits,
                       place(quiet->rank, quiet->host), now - quiet->time, quiet->doing, quiet->step);
  std::vector<std::string> whom;
  for (const RankStatus& one : others)
    if (std::ranges::find(mine.awaits, one.rank) != mine.awaits.end())
      whom.push_back(fmt::format("{}: {}, in step {}, for {:.0f} s", place(one.rank, one.host), one.doing, one.step,
                                 one.for_seconds + now - one.time));
  return fmt::format("{} others since {:.0f} s. {}", waits, mine.for_seconds, fmt::join(whom, "; "));
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
/// 0.
std::vector<int> RankWatch::watched(const RankStatus& mine) const {
  std::vector<int> whom = mine.awaits;
  if (mine.rank == 0) {
    whom.clear();
    for (int rank = 1; rank < mine.ranks; ++rank) whom.push_back(rank);
  } else if (std::ranges::find(whom, 0) == whom.end()) {
    whom.push_back(0);
  }
  return whom;
}

RankStatus RankWatch::status(const Activity::State& state) const {
  const RankFacts& facts = facts_[static_cast<std::size_t>(ranks_.rank())];
  return {.rank = ranks_.rank(),
          .ranks = ranks_.size(),
          .host = facts.host,
          .process = facts.process,
          .time = seconds_since_1970(),
          .step = state.step,
          .doing = state.doing,
          .for_seconds = std::chrono::duration<double>(Activity::Clock::now() - state.since).count(),
          .awaits = state.kind == Activity::Kind::works ? std::vector<int>() : ranks_.awaited(),
          .memory = options_.memory()};
}

void RankWatch::run() {
  const std::filesystem::path file = rank_file(options_.run_folder, ranks_.rank(), "status");
  const double began = seconds_since_1970();
  bool was_told = false;
  std::unique_lock lock(mutex_);
  while (!ends_) {
    lock.unlock();
    const Activity::State state = ranks_.activity().state();
    const RankStatus mine = status(state);
    try {
      write_status(file, mine);
    } catch (const std::exception& error) {
      if (!std::exchange(was_told, true)) spdlog::warn("{}; the run goes on without it", error.what());
    }
    std::vector<RankStatus> others;
    for (const int rank : watched(mine))
      if (const std::optional<RankStatus> other = read_status(rank_file(options_.run_folder, rank, "status")))
        others.push_back(*other);
    const std::string stall = stall_of(mine, state.kind, others, mine.time, began, options_.stall_seconds);
    if (!stall.empty()) {
      options_.on_stall(stall);
      return;
    }
    lock.lock();
    wake_.wait_for(lock, kBetween, [this] { return ends_; });
  }
  lock.unlock();
  try {
    Activity::State ended = ranks_.activity().state();
    ended.kind = Activity::Kind::works;
    ended.doing = "has ended";
    ended.since = Activity::Clock::now();
    write_status(file, status(ended));
  } catch (const std::exception&) {  // Nobody waits for it.
  }
}

}  // namespace millrace
