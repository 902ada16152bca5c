// mpirun -n N exchange_times: measures the machines of these ranks, plans the exchange of gradients and of weights of a
// step, makes each five times, and compares the median with the plan. Exit status 1: one is off by more than 30 %.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "model/parameters/parameter.h"
#include "trainer/distributed/launch.h"
#include "trainer/distributed/mpi_communicator.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/plan/exchange_plan.h"
#include "trainer/plan/measure_cluster.h"
#include "trainer/plan/ranks_fit.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/ownership.h"

namespace millrace {
namespace {

constexpr int kTimes = 5;
constexpr double kMostOff = 0.3;

/// Some 40 million parameters: several buckets.
ModelConfig model_to_exchange() {
  ModelConfig model = model_preset("openmoe-nano");
  model.vocab_size = 32768;
  model.hidden_size = 512;
  return model;
}

/// As a rank's replica has them.
Shares shares_of(const Parameters& parameters, Tensor Parameter::*tensor,
                 const std::vector<std::vector<ParameterPart>>& owners) {
  Shares shares(owners.size());
  for (std::size_t owner = 0; owner < owners.size(); ++owner) {
    for (const ParameterPart& part : owners[owner]) {
      const Tensor numbers = part_of(parameters.all[part.parameter].*tensor, part);
      shares[owner].emplace_back(static_cast<float*>(numbers.data), static_cast<std::size_t>(numbers.size()));
    }
  }
  return shares;
}

/// The largest of all ranks' numbers.
double most_of(Communicator& ranks, double mine) {
  std::vector<double> all(static_cast<std::size_t>(ranks.size()));
  std::vector<Communicator::Out> places;
  for (double& one : all) places.push_back(writable_bytes_of_value(one));
  all[static_cast<std::size_t>(ranks.rank())] = mine;
  ranks.wait(ranks.all_gather(bytes_of_value(mine), places));
  return std::ranges::max(all);
}

/// Of the rank that takes longest, the median.
template <class Work>
double seconds_of(Communicator& ranks, const Work& work) {
  std::vector<double> seconds;
  for (int i = 0; i < kTimes; ++i) {
    most_of(ranks, 0);
    const auto start = std::chrono::steady_clock::now();
    work();
    seconds.push_back(most_of(ranks, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
  }
  std::ranges::sort(seconds);
  return seconds[kTimes / 2];
}

/// Whether all is as planned.
bool compare(Communicator& ranks) {
  RankFacts mine = facts_of_this_rank();
  add_memory(mine);
  const std::vector<RankFacts> facts = exchange_facts(ranks, mine);
  const Cluster cluster = measure_cluster(ranks, facts, {}).cluster;

  const ModelConfig model = model_to_exchange();
  const std::vector<ParameterSpec> specs = parameter_specs(model);
  const auto owners = ownership(specs, ranks.size());
  CpuDevice device(Precision::f32);
  const ParameterMemory memory(device, specs, ParameterMemory::Gradients::allocated);
  const Parameters parameters = memory.views();
  for (const Parameter& parameter : parameters.all)
    for (const Tensor& tensor : {parameter.value, parameter.gradient})
      std::fill_n(static_cast<float*>(tensor.data), tensor.size(), 1e-3F);
  const Shares gradients = shares_of(parameters, &Parameter::gradient, owners);
  const Shares values = shares_of(parameters, &Parameter::value, owners);
  const std::map<std::string, double> seen{
      {"gradients", seconds_of(ranks, [&] { add_up_shares(ranks, device, gradients, SumOrder::neighbours_first); })},
      {"weights", seconds_of(ranks, [&] { give_shares(ranks, values); })}};

  bool is_as_planned = true;
  TrainConfig train;
  train.precision = "f32";
  if (ranks.rank() == 0)
    fmt::print("{}\n{}{} parameters\n", text_of_ranks(facts), cluster_toml(cluster), parameter_count(model));
  for (const ExchangePlan& plan : plan_exchanges(cluster, {.data = ranks.size()}, model, train, 1)) {
    const auto one = seen.find(plan.name);
    if (one == seen.end()) continue;
    const double off = plan.seconds / one->second - 1;
    if (ranks.rank() == 0)
      fmt::print("{}: planned {:.4f} s, seen {:.4f} s, {:+.0f} %\n", plan.name, plan.seconds, one->second, 100 * off);
    is_as_planned = is_as_planned && std::abs(off) <= kMostOff;
  }
  return is_as_planned;
}

}  // namespace
}  // namespace millrace

int main() {
  using namespace millrace;
  try {
    omp_set_num_threads(1);
    Communicator* const all = join_ranks();
    if (all == nullptr) {
      fmt::print(stderr, "exchange_times: no ranks: start it with mpirun\n");
      return 2;
    }
    const bool is_as_planned = compare(*all);
    std::fflush(stdout);
    finish_mpi();
    return is_as_planned ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "exchange_times: {}\n", error.what());
    end_all_ranks(2);
  }
}
