#include "trainer/plan/measure_cluster.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "model/cost/peak_flops.h"
#include "model/parallel.h"
#include "trainer/config/train_config.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr std::array<std::size_t, 2> kSentBytes{kMebibyte, 64 * kMebibyte};  ///< By a rank, to all others together.
constexpr int kFewestTimes = 3;
constexpr int kMostTimes = 50;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Ranks as a job's, by machine.
class Job {
 public:
  Job(Communicator& ranks, const std::vector<RankFacts>& facts) : ranks_(ranks), machines_(machines_of(facts)) {
    for (std::size_t machine = 0; machine < machines_.size(); ++machine) {
      most_ = std::max(most_, machines_[machine].ranks.size());
      least_ = std::min(least_, machines_[machine].ranks.size());
      if (std::ranges::find(machines_[machine].ranks, ranks.rank()) != machines_[machine].ranks.end()) own_ = machine;
    }
  }

  Communicator& ranks() const { return ranks_; }
  const std::vector<RankMachine>& machines() const { return machines_; }
  std::size_t most() const { return most_; }  ///< Ranks of a machine.
  std::size_t least() const { return least_; }

  /// Other ranks of this one's machine, or of all others.
  std::vector<int> others_inside() const {
    std::vector<int> others = machines_[own_].ranks;
    std::erase(others, ranks_.rank());
    return others;
  }
  std::vector<int> others_between() const {
    std::vector<int> others;
    for (std::size_t machine = 0; machine < machines_.size(); ++machine)
      if (machine != own_)
        others.insert(others.end(), machines_[machine].ranks.begin(), machines_[machine].ranks.end());
    return others;
  }
  /// Whom this rank plays ping-pong with, -1: nobody. Each machine's first two; the first ranks of each two machines.
  int partner_inside() const {
    const std::vector<int>& here = machines_[own_].ranks;
    if (here.size() < 2) return -1;
    return ranks_.rank() == here[0] ? here[1] : ranks_.rank() == here[1] ? here[0] : -1;
  }
  int partner_between() const {
    const std::size_t other = own_ % 2 == 0 ? own_ + 1 : own_ - 1;
    if (other >= machines_.size() || machines_[own_].ranks.front() != ranks_.rank()) return -1;
    return machines_[other].ranks.front();
  }

  /// Everybody's number, when all have come here.
  std::vector<double> gather(double mine) const {
    std::vector<double> all(static_cast<std::size_t>(ranks_.size()));
    std::vector<Communicator::Out> places;
    for (double& one : all) places.push_back(writable_bytes_of_value(one));
    all[static_cast<std::size_t>(ranks_.rank())] = mine;
    ranks_.wait(ranks_.all_gather(bytes_of_value(mine), places));
    return all;
  }
  double most_of(double mine) const { return std::ranges::max(gather(mine)); }
  double least_of(double mine) const { return std::ranges::min(gather(mine)); }

 private:
  Communicator& ranks_;
  std::vector<RankMachine> machines_;
  std::size_t own_ = 0;
  std::size_t most_ = 0;
  std::size_t least_ = SIZE_MAX;
};

/// Seconds of something that all ranks do at once: of the slowest, the median of as often as fits into `seconds`.
double time_of(const Job& job, double seconds, const std::function<void()>& work) {
  const auto once = [&] {
    job.gather(0);
    const Clock::time_point start = Clock::now();
    work();
    return job.most_of(seconds_since(start));
  };
  const double first = once();
  const int repeats = std::clamp(static_cast<int>(seconds / first), kFewestTimes, kMostTimes);
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) times.push_back(once());
  return median(times);
}

/// Half a way there and back of the slowest pair.
double ping_pong(const Job& job, int partner) {
  constexpr int kBalls = 200;
  Communicator& ranks = job.ranks();
  std::vector<double> halves;
  std::uint64_t ball = 0;
  job.gather(0);
  for (int i = 0; i < kBalls && partner >= 0; ++i) {
    const Clock::time_point start = Clock::now();
    if (ranks.rank() < partner) ranks.wait(ranks.send(bytes_of_value(ball), partner));
    ranks.wait(ranks.receive(writable_bytes_of_value(ball), partner));
    if (ranks.rank() > partner) ranks.wait(ranks.send(bytes_of_value(ball), partner));
    halves.push_back(seconds_since(start) / 2);
  }
  return job.most_of(halves.empty() ? 0 : median(halves));
}

/// Every rank sends so many bytes to some others, in equal parts: a rank with as many others as any has.
double all_to_all_time(const Job& job, double seconds, const std::vector<int>& others, std::size_t bytes,
                       double most_others) {
  const auto count = static_cast<std::size_t>(job.ranks().size());
  const auto of_each = static_cast<std::size_t>(static_cast<double>(bytes) / most_others);
  Bytes sent(of_each * others.size(), std::byte{1});
  Bytes received(sent.size());
  std::vector<Communicator::In> to(count);
  std::vector<Communicator::Out> from(count);
  for (std::size_t i = 0; i < others.size(); ++i) {
    to[static_cast<std::size_t>(others[i])] = std::span(sent).subspan(i * of_each, of_each);
    from[static_cast<std::size_t>(others[i])] = std::span(received).subspan(i * of_each, of_each);
  }
  return time_of(job, seconds, [&] { job.ranks().wait(job.ranks().all_to_all(to, from)); });
}

/// T(bytes) = others (latency + sharing bytes / bandwidth), bytes a message.
Link link_of(double ping, const std::array<double, 2>& seconds, double others, double sharing) {
  const auto of_link = [&](std::size_t size) { return sharing * static_cast<double>(kSentBytes[size]); };
  const bool rises = seconds[1] > seconds[0];
  Link link;
  link.bandwidth = rises ? (of_link(1) - of_link(0)) / (seconds[1] - seconds[0]) : of_link(1) / seconds[1];
  link.latency = std::max(ping, (seconds[0] - of_link(0) / link.bandwidth) / others);
  return link;
}

/// What memory gives: bytes a second.
struct MemoryRates {
  double all = 0, one = 0, fresh = 0;
};
MemoryRates memory_rates(const Job& job, double seconds) {
  constexpr std::size_t kCopiedBytes = 128 * kMebibyte;
  constexpr std::size_t kFreshBytes = 64 * kMebibyte;
  constexpr std::int64_t kGrain = kMebibyte;
  Bytes from(kCopiedBytes, std::byte{1});
  Bytes to(kCopiedBytes);
  MemoryRates rates;
  rates.all = 2.0 * kCopiedBytes / time_of(job, seconds / 3, [&] {
                for_ranges(kCopiedBytes, kGrain, [&](std::int64_t begin, std::int64_t end) {
                  std::copy(from.begin() + begin, from.begin() + end, to.begin() + begin);
                });
              });
  rates.one = 2.0 * kCopiedBytes / time_of(job, seconds / 3, [&] { std::ranges::copy(from, to.begin()); });
  std::size_t taken = 0;
  rates.fresh =
      kFreshBytes / time_of(job, seconds / 3, [&] { taken += std::vector<float>(kFreshBytes / sizeof(float)).size(); });
  return rates;
}

/// Of the machine that has least.
double memory_of_a_rank(const Job& job, const std::vector<RankFacts>& facts) {
  double least = std::numeric_limits<double>::infinity();
  for (const RankMachine& machine : job.machines()) {
    least = std::min(
        least, static_cast<double>(memory_of_machine(machine, facts)) / static_cast<double>(machine.ranks.size()));
    for (const int rank : machine.ranks)
      if (const std::uint64_t own = facts[static_cast<std::size_t>(rank)].own_memory; own > 0)
        least = std::min(least, static_cast<double>(own));
  }
  return std::floor(least);
}

}  // namespace

MeasuredCluster measure_cluster(Communicator& ranks, const std::vector<RankFacts>& facts,
                                const ClusterMeasurement& how) {
  const Job job(ranks, facts);
  const bool has_inside = job.least() > 1;
  const bool has_between = job.machines().size() > 1;
  const int parts = 2 + (has_inside ? 3 : 0) + (has_between ? 3 : 0);
  int done = 0;
  const auto begin = [&](const std::string& what) { how.on_part(done++, parts, what); };

  MeasuredCluster found;
  Cluster& cluster = found.cluster;
  cluster.ranks_per_machine = static_cast<int>(job.most());
  cluster.precision = how.precision;
  cluster.threads = how.threads;
  cluster.memory = memory_of_a_rank(job, facts);
  begin("matrix products");
  job.gather(0);
  cluster.operations = job.least_of(product_rate(precision_named(how.precision), how.side, how.seconds));
  begin("memory");
  const MemoryRates memory = memory_rates(job, how.seconds);
  cluster.memory_bandwidth = memory.all;
  cluster.copy_bandwidth = memory.one;
  cluster.fresh_bandwidth = memory.fresh;

  const auto measure = [&](const char* where, int partner, const std::vector<int>& others, double sharing) {
    begin(fmt::format("small messages {}", where));
    const double ping = ping_pong(job, partner);
    const double most_others = job.most_of(static_cast<double>(others.size()));
    std::array<double, 2> seconds{};
    for (std::size_t size = 0; size < kSentBytes.size(); ++size) {
      begin(fmt::format("{} MiB from each rank {}", kSentBytes[size] / kMebibyte, where));
      seconds[size] = all_to_all_time(job, how.seconds, others, kSentBytes[size], most_others);
    }
    return link_of(ping, seconds, most_others, sharing);
  };
  if (has_inside) cluster.inside = measure("inside machines", job.partner_inside(), job.others_inside(), 1);
  if (has_between)
    cluster.between =
        measure("between machines", job.partner_between(), job.others_between(), static_cast<double>(job.most()));
  how.on_part(parts, parts, "done");

  if (!has_inside)
    found.not_measured.push_back(
        fmt::format("[inside], the link of a machine's ranks: {} one rank; start several with mpirun to measure it",
                    job.most() > 1 ? "some machine has" : "each machine has"));
  if (!has_between)
    found.not_measured.emplace_back(
        "[between], the link of machines: all ranks are on one; start them on two or more to measure it");
  if (job.least() < job.most())
    found.not_measured.push_back(
        fmt::format("machines one by one, which have {} to {} ranks: {} are written, as if all had so many",
                    job.least(), job.most(), job.most()));
  return found;
}

}  // namespace millrace
