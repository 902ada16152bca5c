#include "trainer/plan/ranks_fit.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/metrics/process_memory.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/rank_memory.h"

namespace millrace {
namespace {

double gigabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / 1e9;
}

/// What its own limits leave to a rank.
std::uint64_t own_room(const RankFacts& facts) {
  return facts.own_memory == 0 ? std::numeric_limits<std::uint64_t>::max() : facts.own_memory;
}

std::uint64_t taken_on(const RankMachine& machine, const std::vector<RankMemory>& memories, const ProcessGrid& grid) {
  std::uint64_t taken = 0;
  for (const int rank : machine.ranks) taken += memory_of_rank(memories, grid, rank).plan.host();
  return taken;
}

bool fit(const std::vector<RankMemory>& memories, const ProcessGrid& grid, const std::vector<RankFacts>& all) {
  for (const RankMachine& machine : machines_of(all))
    if (taken_on(machine, memories, grid) > memory_of_machine(machine, all)) return false;
  for (int rank = 0; rank < grid.ranks(); ++rank)
    if (memory_of_rank(memories, grid, rank).plan.host() > own_room(all[static_cast<std::size_t>(rank)])) return false;
  return true;
}

/// So many ranks on machines like the one that has least, so many on each.
std::vector<RankFacts> like_those(const std::vector<RankFacts>& all, int ranks, int a_machine) {
  RankFacts typical = all.front();
  typical.held = 0;
  typical.memory = std::numeric_limits<std::uint64_t>::max();
  for (const RankMachine& machine : machines_of(all))
    typical.memory = std::min(typical.memory, memory_of_machine(machine, all));
  for (const RankFacts& one : all)
    if (own_room(one) < own_room(typical)) typical.own_memory = one.own_memory;
  std::vector<RankFacts> wanted(static_cast<std::size_t>(ranks), typical);
  for (int rank = 0; rank < ranks; ++rank)
    wanted[static_cast<std::size_t>(rank)].host = std::to_string(rank / a_machine);
  return wanted;
}

/// The grid, if the run's numbers and this program allow it.
std::optional<ProcessGrid> possible_grid(const GridWish& wish, int ranks, const MemoryQuestion& question) {
  try {
    const ProcessGrid grid = process_grid(wish, ranks, question.model, question.train);
    if (fault_of_grid(grid).empty()) return grid;
  } catch (const ConfigError&) {
  }
  return std::nullopt;
}

/// The first grid that fits, of the fewest ranks, as many a machine as there are.
std::string smallest_grid(const MemoryQuestion& question, const std::vector<RankFacts>& all, int a_machine) {
  constexpr int kMostRanks = 1024;
  for (int ranks = 2; ranks <= kMostRanks; ranks *= 2) {
    for (int pipeline = 1; pipeline <= ranks; pipeline *= 2) {
      for (int expert = 1; expert <= ranks / pipeline; expert *= 2) {
        const auto grid = possible_grid({.expert = expert, .tensor = 1, .pipeline = pipeline}, ranks, question);
        if (!grid) continue;
        const std::vector<RankFacts> wanted = like_those(all, ranks, std::min(a_machine, ranks));
        if (fit(memory_of_ranks(question, *grid), *grid, wanted))
          return fmt::format("the smallest grid that fits is {}: {} ranks, {} a machine", grid->text(), ranks,
                             std::min(a_machine, ranks));
      }
    }
  }
  return {};
}

/// Fewer of the same ranks a machine.
std::string fewer_a_machine(const std::vector<RankMemory>& memories, const ProcessGrid& grid,
                            const std::vector<RankFacts>& all, int a_machine) {
  for (int fewer = a_machine / 2; fewer >= 1; fewer /= 2)
    if (fit(memories, grid, like_those(all, grid.ranks(), fewer)))
      return fmt::format("{} rank{} a machine fit{} (mpirun --map-by ppr:{}:node)", fewer, fewer == 1 ? "" : "s",
                         fewer == 1 ? "s" : "", fewer);
  return {};
}

std::string other_settings(const MemoryQuestion& question, const ProcessGrid& grid, const std::vector<RankFacts>& all) {
  TrainConfig train = question.train;
  const int begin = train.micro_rows == 0 ? train.batch_rows : train.micro_rows;
  const bool had_recompute = train.recompute;
  for (const bool recompute : {had_recompute, true}) {
    for (const int rows : possible_micro_rows(question.train)) {
      if (rows > begin || train.batch_rows / rows % grid.replicas() != 0) continue;
      train.micro_rows = rows;
      train.recompute = recompute;
      const MemoryQuestion asked{.model = question.model,
                                 .train = train,
                                 .sequence_length = question.sequence_length,
                                 .corpora = question.corpora,
                                 .threads = question.threads,
                                 .pipeline = question.pipeline,
                                 .vocabulary = question.vocabulary};
      if (!fit(memory_of_ranks(asked, grid), grid, all)) continue;
      return fmt::format("these ranks fit with{}{}",
                         rows == begin ? "" : fmt::format(" --set train.micro_rows={}", rows),
                         recompute == had_recompute ? "" : " --set train.recompute=true");
    }
  }
  return {};
}

/// Rank 0's memory, and that of the one of the others that takes most.
std::string table_of(const std::vector<RankMemory>& memories) {
  std::vector<const RankMemory*> shown{&memories.front()};
  if (memories.size() > 1)
    shown.push_back(&*std::max_element(memories.begin() + 1, memories.end(),
                                       [](const auto& a, const auto& b) { return a.needed() < b.needed(); }));
  using Part = std::uint64_t (*)(const RankMemory&);
  constexpr std::array<std::pair<const char*, Part>, 10> kParts{
      {{"weights", [](const RankMemory& one) { return one.plan.weights; }},
       {"gradients", [](const RankMemory& one) { return one.plan.gradients - one.lanes; }},
       {"lanes", [](const RankMemory& one) { return one.lanes; }},
       {"optimizer", [](const RankMemory& one) { return one.plan.optimizer; }},
       {"activations", [](const RankMemory& one) { return one.plan.activations; }},
       {"exchange", [](const RankMemory& one) { return one.plan.exchange; }},
       {"checkpoint copy", [](const RankMemory& one) { return one.plan.checkpoint; }},
       {"data", [](const RankMemory& one) { return one.plan.pipeline; }},
       {"program", [](const RankMemory& one) { return one.plan.program; }},
       {"sum", [](const RankMemory& one) { return one.plan.total(); }}}};
  std::string text = fmt::format("{:<16}", "GB");
  for (const RankMemory* one : shown) text += fmt::format("{:>10}", fmt::format("rank {}", one->rank));
  for (const auto& [name, part] : kParts) {
    text += fmt::format("\n{:<16}", name);
    for (const RankMemory* one : shown) text += fmt::format("{:>10.2f}", gigabytes(part(*one)));
  }
  return text;
}

}  // namespace

void add_memory(RankFacts& mine) {
  const MachineMemory shared = shared_memory();
  mine.memory = shared.bytes;
  mine.memory_limit = shared.limit;
  mine.held = resident_memory();
  if (const MachineMemory own = own_memory(); own.limit != "none") mine.own_memory = own.bytes;
}

std::string fault_of_memory(const MemoryQuestion& question, const ProcessGrid& grid,
                            const std::vector<RankFacts>& all) {
  const std::vector<RankMemory> memories = memory_of_ranks(question, grid);
  if (fit(memories, grid, all)) return {};
  std::string text = fmt::format("the ranks have too little memory\n{}", table_of(memories));
  std::size_t most = 0;
  for (const RankMachine& machine : machines_of(all)) {
    most = std::max(most, machine.ranks.size());
    const RankFacts& first = all[static_cast<std::size_t>(machine.ranks.front())];
    text += fmt::format("\n{}: {} rank{} take{} {:.2f} GB, it has {:.2f} GB ({})", machine.host, machine.ranks.size(),
                        machine.ranks.size() == 1 ? "" : "s", machine.ranks.size() == 1 ? "s" : "",
                        gigabytes(taken_on(machine, memories, grid)), gigabytes(memory_of_machine(machine, all)),
                        first.memory_limit);
    for (const int rank : machine.ranks) {
      const RankFacts& one = all[static_cast<std::size_t>(rank)];
      if (memory_of_rank(memories, grid, rank).plan.host() <= own_room(one)) continue;
      text += fmt::format("; rank {} may take {:.2f} GB itself (ulimit)", rank, gigabytes(one.own_memory));
      break;
    }
  }
  bool any = false;
  for (const std::string& advice :
       {other_settings(question, grid, all), fewer_a_machine(memories, grid, all, static_cast<int>(most)),
        smallest_grid(question, all, static_cast<int>(most))}) {
    if (!advice.empty()) text += "\n" + advice;
    any = any || !advice.empty();
  }
  if (!any)
    text +=
        "\nno other settings and no grid of up to 1024 ranks fit: take a smaller [model], or machines with more memory";
  return text;
}

}  // namespace millrace
