#include "trainer/distributed/rank_facts.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>
#include <xxhash.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/io/input_file.h"
#include "trainer/distributed/orders.h"

namespace millrace {
namespace {

/// Programs of one version may be compiled for different processors.
std::string hash_of_program() {
  InputFile file("/proc/self/exe");
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> block(std::size_t{1} << 20);
  while (const std::size_t bytes = file.read(block.data(), block.size()))
    XXH3_64bits_update(state.get(), block.data(), bytes);
  return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

/// The rank whose text is another one's than that of most; none: all say the same.
template <class Text>
int odd_one(const std::vector<RankFacts>& all, Text&& text) {
  std::map<std::string, int> counts;
  for (const RankFacts& one : all) ++counts[text(one)];
  const auto most = std::ranges::max_element(counts, {}, [](const auto& count) { return count.second; });
  for (std::size_t i = 0; i < all.size(); ++i)
    if (text(all[i]) != most->first) return static_cast<int>(i);
  return -1;
}

}  // namespace

void to_json(Json& json, const RankFacts& facts) {
  json = {{"host", facts.host},           {"process", facts.process},      {"program", facts.program},
          {"processor", facts.processor}, {"cores", facts.cores},          {"allowed", facts.allowed},
          {"threads", facts.threads},     {"memory", facts.memory},        {"memory_limit", facts.memory_limit},
          {"held", facts.held},           {"own_memory", facts.own_memory}};
}

void from_json(const JsonValue& json, RankFacts& facts) {
  facts.host = json.get<std::string>("host");
  facts.process = json.get<std::int64_t>("process");
  facts.program = json.get<std::string>("program");
  facts.processor = json.get<std::string>("processor");
  facts.cores = json.get<int>("cores");
  facts.allowed = json.get<int>("allowed");
  facts.threads = json.get<int>("threads");
  facts.memory = json.get<std::uint64_t>("memory");
  facts.memory_limit = json.get<std::string>("memory_limit");
  facts.held = json.get<std::uint64_t>("held");
  facts.own_memory = json.get<std::uint64_t>("own_memory");
}

RankFacts facts_of_this_rank() {
  RankFacts facts;
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) == 0) facts.host = host;
  facts.process = getpid();
  facts.program = hash_of_program();
  facts.cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t mask;
  facts.allowed = sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : facts.cores;
  return facts;
}

std::vector<RankFacts> exchange_facts(Communicator& ranks, const RankFacts& mine) {
  const std::vector<std::string> texts = gather_texts(ranks, json_line(Json(mine)));
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ",") + text;
  joined = fmt::format("[{}]", joined);
  auto size = static_cast<std::uint64_t>(joined.size());
  ranks.wait(ranks.broadcast(writable_bytes_of_value(size), 0));
  joined.resize(size);
  ranks.wait(ranks.broadcast(std::as_writable_bytes(std::span(joined)), 0));
  return JsonValue::parse(joined, {.name = "what ranks say of themselves", .line = 0, .remedy = ""})
      .as<std::vector<RankFacts>>();
}

std::string name_of_rank(const std::vector<RankFacts>& all, int rank) {
  return fmt::format("rank {} of {} ({})", rank, all.size(), all[static_cast<std::size_t>(rank)].host);
}

std::string fault_of_ranks(const std::vector<RankFacts>& all) {
  constexpr const char* kWhy = "Results would depend on who computes what";
  const auto differ = [&](const char* what, const auto& text) -> std::string {
    const int odd = odd_one(all, text);
    if (odd < 0) return {};
    const std::size_t other = odd == 0 ? 1 : 0;
    return fmt::format("{} has {} {}, {} has {}. {}: start the same program on machines of one kind",
                       name_of_rank(all, odd), what, text(all[static_cast<std::size_t>(odd)]),
                       name_of_rank(all, static_cast<int>(other)), text(all[other]), kWhy);
  };
  if (std::string fault = differ("processor", [](const RankFacts& one) { return one.processor; }); !fault.empty())
    return fault;
  if (std::string fault = differ("program", [](const RankFacts& one) { return one.program; }); !fault.empty())
    return fault;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const RankFacts& one = all[i];
    if (one.allowed < one.cores && one.threads > one.allowed)
      return fmt::format(
          "{} is bound to {} of {} cores by its launcher, but --threads asks for {}; start with --bind-to none",
          name_of_rank(all, static_cast<int>(i)), one.allowed, one.cores, one.threads);
  }
  return {};
}

std::string warning_of_ranks(const std::vector<RankFacts>& all) {
  for (int rank = 0; rank < static_cast<int>(all.size()); ++rank) {
    const RankFacts& one = all[static_cast<std::size_t>(rank)];
    const int part = std::max(1, one.cores / ranks_beside(all, rank));
    if (one.threads == 0 && one.allowed < part)
      return fmt::format(
          "{} is bound to {} of {} cores by its launcher, and there are {} for it; start with --bind-to none",
          name_of_rank(all, rank), one.allowed, one.cores, part);
  }
  return {};
}

int ranks_beside(const std::vector<RankFacts>& all, int rank) {
  const auto there = std::ranges::count(all, all[static_cast<std::size_t>(rank)].host, &RankFacts::host);
  return std::max(1, static_cast<int>(there));  // It is one of them.
}

int threads_of(const std::vector<RankFacts>& all, int rank) {
  const RankFacts& one = all[static_cast<std::size_t>(rank)];
  if (one.threads > 0) return one.threads;
  if (one.allowed < one.cores) return std::max(1, one.allowed);
  return std::max(1, one.cores / ranks_beside(all, rank));
}

std::string text_of_ranks(const std::vector<RankFacts>& all) {
  constexpr std::size_t kMostNames = 4;
  const auto machines = machines_of(all);
  std::vector<std::string> names;
  std::vector<std::size_t> counts;
  for (const auto& [host, ranks] : machines) {
    names.push_back(host);
    counts.push_back(ranks.size());
  }
  const auto [least, most] = std::ranges::minmax(counts);
  std::string hosts = names.size() <= kMostNames ? fmt::format("{}", fmt::join(names, ", "))
                                                 : fmt::format("{}..{}", names.front(), names.back());
  if (machines.size() > 1)
    hosts += least == most ? fmt::format("; {} each", most) : fmt::format("; {} to {} each", least, most);
  std::vector<int> threads;
  for (int rank = 0; rank < static_cast<int>(all.size()); ++rank) threads.push_back(threads_of(all, rank));
  const auto [few, many] = std::ranges::minmax(threads);
  return fmt::format("{} rank{} on {} machine{} ({}), {}, {} thread{} each", all.size(), all.size() == 1 ? "" : "s",
                     machines.size(), machines.size() == 1 ? "" : "s", hosts, all.front().processor,
                     few == many ? fmt::format("{}", few) : fmt::format("{} to {}", few, many), many == 1 ? "" : "s");
}

std::vector<RankMachine> machines_of(const std::vector<RankFacts>& all) {
  std::vector<RankMachine> machines;
  for (int rank = 0; rank < static_cast<int>(all.size()); ++rank) {
    const std::string& host = all[static_cast<std::size_t>(rank)].host;
    auto known = std::ranges::find(machines, host, &RankMachine::host);
    if (known == machines.end()) known = machines.insert(known, {host, {}});
    known->ranks.push_back(rank);
  }
  return machines;
}

/// Each rank says what is left, and what it holds itself.
std::uint64_t memory_of_machine(const RankMachine& machine, const std::vector<RankFacts>& all) {
  std::uint64_t left = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t held = 0;
  for (const int rank : machine.ranks) {
    const RankFacts& one = all[static_cast<std::size_t>(rank)];
    left = std::min(left, one.memory - std::min(one.memory, one.held));
    held += one.held;
  }
  return left + std::min(held, std::numeric_limits<std::uint64_t>::max() - left);
}

}  // namespace millrace
