#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "trainer/distributed/communicator.h"

namespace millrace {

class JsonValue;

/// What a rank says of itself before anything is computed.
struct RankFacts {
  std::string host;
  std::int64_t process = 0;
  std::string program;            ///< Version and hash of the program's file.
  std::string processor;          ///< Instruction set and model.
  int cores = 0;                  ///< Of its machine.
  int allowed = 0;                ///< Of them, those that it may run on.
  int threads = 0;                ///< That --threads asks for; 0: it does not.
  std::uint64_t memory = 0;       ///< Bytes that its machine has for it and others, with those that it holds.
  std::string memory_limit = {};  ///< What sets them: "memory available", "limit of cgroup /x".
  std::uint64_t held = 0;         ///< Bytes that it holds.
  std::uint64_t own_memory = 0;   ///< Bytes that its own limits leave it (ulimit -v); 0: it has none.
};
void to_json(nlohmann::ordered_json& json, const RankFacts& facts);
void from_json(const JsonValue& json, RankFacts& facts);

/// Of this process; host, process, program and cores are filled in.
RankFacts facts_of_this_rank();

/// The facts of all ranks, at all ranks, which all call it.
std::vector<RankFacts> exchange_facts(Communicator& ranks, const RankFacts& mine);

/// Why these ranks cannot compute together; empty: they can. Results would depend on who computes what, where
/// processors or programs differ.
std::string fault_of_ranks(const std::vector<RankFacts>& all);

/// What makes them slow, though nothing is wrong; empty: nothing.
std::string warning_of_ranks(const std::vector<RankFacts>& all);

/// How many ranks are on the machine of this one.
int ranks_beside(const std::vector<RankFacts>& all, int rank);

/// Threads of a rank that is not told how many: its own cores, or its part of the machine's.
int threads_of(const std::vector<RankFacts>& all, int rank);

/// "8 ranks on 2 machines (node1, node2; 4 each), avx512_bf16, ..., 4 threads each"
std::string text_of_ranks(const std::vector<RankFacts>& all);

/// "rank 3 of 8 (node1)"
std::string name_of_rank(const std::vector<RankFacts>& all, int rank);

/// A machine and its ranks.
struct RankMachine {
  std::string host;
  std::vector<int> ranks;  ///< Rising.
};
/// In the order of their first ranks.
std::vector<RankMachine> machines_of(const std::vector<RankFacts>& all);
/// Bytes that it has for all of its ranks together, with those that they hold.
std::uint64_t memory_of_machine(const RankMachine& machine, const std::vector<RankFacts>& all);

}  // namespace millrace
