#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "trainer/distributed/communicator.h"

namespace millrace::test {

/// What every engine has to do: called by each rank of a job. Throw std::runtime_error naming what was not so.

using Bytes = std::vector<std::byte>;

inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

/// So many bytes that tell who sent them to whom, and in which message.
inline Bytes letter(std::size_t size, int from, int to, int message) {
  Bytes bytes(size);
  std::uint64_t state = static_cast<std::uint64_t>(from) * 1'000'003 + static_cast<std::uint64_t>(to) * 10'007 +
                        static_cast<std::uint64_t>(message) * 101 + 1;
  for (std::byte& byte : bytes) {
    state = state * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
    byte = static_cast<std::byte>(state >> 56U);
  }
  return bytes;
}

/// A number that all ranks know, below `most`.
inline std::size_t drawn(int seed, int a, int b, std::size_t most) {
  std::uint64_t state = static_cast<std::uint64_t>(seed) * 2'654'435'761U + static_cast<std::uint64_t>(a) * 40'503 +
                        static_cast<std::uint64_t>(b) * 7 + 3;
  state ^= state >> 17U;
  state *= 0xED5AD4BBU;
  state ^= state >> 11U;
  return static_cast<std::size_t>(state % most);
}

/// An operation that was begun, with its buffers and what is to stand in them.
struct Begun {
  Pending pending = 0;
  std::vector<Bytes> given;
  std::vector<Bytes> got;
  std::vector<Bytes> expected;
};

inline std::vector<Communicator::In> views(const std::vector<Bytes>& all) {
  return {all.begin(), all.end()};
}
inline std::vector<Communicator::Out> places(std::vector<Bytes>& all) {
  return {all.begin(), all.end()};
}

inline std::unique_ptr<Begun> begin_all_to_all(Communicator& ranks, int seed, std::size_t most) {
  auto begun = std::make_unique<Begun>();
  for (int i = 0; i < ranks.size(); ++i) {
    begun->given.push_back(letter(drawn(seed, ranks.rank(), i, most), ranks.rank(), i, seed));
    begun->expected.push_back(letter(drawn(seed, i, ranks.rank(), most), i, ranks.rank(), seed));
    begun->got.emplace_back(begun->expected.back().size());
  }
  begun->pending = ranks.all_to_all(views(begun->given), places(begun->got));
  return begun;
}

inline std::unique_ptr<Begun> begin_all_gather(Communicator& ranks, int seed, std::size_t most) {
  auto begun = std::make_unique<Begun>();
  begun->given.push_back(letter(drawn(seed, ranks.rank(), 0, most), ranks.rank(), 0, seed));
  for (int i = 0; i < ranks.size(); ++i) {
    begun->expected.push_back(letter(drawn(seed, i, 0, most), i, 0, seed));
    begun->got.emplace_back(begun->expected.back().size());
  }
  begun->pending = ranks.all_gather(begun->given[0], places(begun->got));
  return begun;
}

inline std::unique_ptr<Begun> begin_broadcast(Communicator& ranks, int seed, std::size_t most) {
  auto begun = std::make_unique<Begun>();
  const int root = static_cast<int>(drawn(seed, 1, 2, static_cast<std::size_t>(ranks.size())));
  begun->expected.push_back(letter(drawn(seed, 3, 4, most), root, 0, seed));
  begun->got.push_back(ranks.rank() == root ? begun->expected[0] : Bytes(begun->expected[0].size()));
  begun->pending = ranks.broadcast(begun->got[0], root);
  return begun;
}

/// To the next rank, from the one before.
inline std::vector<std::unique_ptr<Begun>> begin_ring(Communicator& ranks, int seed, std::size_t most) {
  std::vector<std::unique_ptr<Begun>> both;
  const int next = (ranks.rank() + 1) % ranks.size();
  const int before = (ranks.rank() + ranks.size() - 1) % ranks.size();
  both.push_back(std::make_unique<Begun>());
  both.back()->given.push_back(letter(drawn(seed, ranks.rank(), next, most), ranks.rank(), next, seed));
  both.back()->pending = ranks.send(both.back()->given[0], next);
  both.push_back(std::make_unique<Begun>());
  both.back()->expected.push_back(letter(drawn(seed, before, ranks.rank(), most), before, ranks.rank(), seed));
  both.back()->got.emplace_back(both.back()->expected[0].size());
  both.back()->pending = ranks.receive(both.back()->got[0], before);
  return both;
}

inline void finish(Communicator& ranks, const Begun& begun, const std::string& what) {
  ranks.wait(begun.pending);
  require(begun.got == begun.expected, what + ": other bytes than were sent");
}

/// Every operation by itself, of messages below `most` bytes, some of them of none.
inline void check_operations(Communicator& ranks, int seed, std::size_t most) {
  finish(ranks, *begin_all_to_all(ranks, seed, most), "all_to_all");
  finish(ranks, *begin_all_gather(ranks, seed + 1, most), "all_gather");
  finish(ranks, *begin_broadcast(ranks, seed + 2, most), "broadcast");
  if (ranks.size() == 1) return;
  for (const auto& one : begin_ring(ranks, seed + 3, most)) finish(ranks, *one, "send and receive");
}

/// Many operations in work at once, waited for in another order.
inline void check_many_in_flight(Communicator& ranks, int seed, std::size_t most) {
  constexpr int kRounds = 20;
  std::vector<std::unique_ptr<Begun>> all;
  for (int i = 0; i < kRounds; ++i) {
    all.push_back(begin_all_to_all(ranks, seed + 10 * i, most));
    all.push_back(begin_broadcast(ranks, seed + 10 * i + 1, most));
    if (ranks.size() > 1)
      for (auto& one : begin_ring(ranks, seed + 10 * i + 2, most)) all.push_back(std::move(one));
    all.push_back(begin_all_gather(ranks, seed + 10 * i + 3, most));
  }
  for (std::size_t i = all.size(); i > 0; i -= 2) finish(ranks, *all[i - 1], "the last of many first");
  for (std::size_t i = all.size() % 2; i < all.size(); i += 2)
    if ((all.size() - i) % 2 == 0) finish(ranks, *all[i], "the others behind them");
}

/// Groups of even and odd ranks, in falling order, work by themselves and beside the whole.
inline void check_groups(Communicator& ranks, int seed) {
  const std::unique_ptr<Communicator> half = ranks.group(ranks.rank() % 2, -ranks.rank());
  const int size = (ranks.size() + 1 - ranks.rank() % 2) / 2;
  require(half->size() == size,
          "a group of " + std::to_string(half->size()) + " ranks, expected " + std::to_string(size));
  require(half->rank() == size - 1 - ranks.rank() / 2, "ranks of a group are not in the order of their keys");
  constexpr std::size_t kMost = 3000;
  const auto whole = begin_all_gather(ranks, seed, kMost);
  check_operations(*half, seed + 50 * (ranks.rank() % 2), kMost);
  const std::unique_ptr<Communicator> alone = half->group(half->rank(), 0);
  require(alone->size() == 1, "a group of one");
  check_operations(*alone, seed, kMost);
  finish(ranks, *whole, "all_gather beside groups");
}

/// Bytes are counted: what all send together is what all receive together.
inline void check_traffic(Communicator& ranks) {
  const Traffic before = ranks.traffic();
  constexpr std::size_t kMost = 100;
  const auto exchange = begin_all_to_all(ranks, 7, kMost);
  finish(ranks, *exchange, "all_to_all");
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  for (int i = 0; i < ranks.size(); ++i) {
    if (i == ranks.rank()) continue;
    sent += exchange->given[static_cast<std::size_t>(i)].size();
    received += exchange->got[static_cast<std::size_t>(i)].size();
  }
  const Traffic::Count& now = ranks.traffic().of(Operation::all_to_all);
  const Traffic::Count& then = before.of(Operation::all_to_all);
  require(now.begun == then.begun + 1 && now.sent == then.sent + sent && now.received == then.received + received,
          "bytes that were exchanged are not those that were counted");
}

}  // namespace millrace::test
