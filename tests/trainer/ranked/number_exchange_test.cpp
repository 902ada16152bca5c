#include "trainer/ranked/number_exchange.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "tests/model/test_support.h"
#include "tests/trainer/distributed/thread_ranks.h"

namespace millrace {
namespace {

using namespace test;

/// Of every rank: numbers that lie apart, and each rank's share of them, in runs of uneven length.
struct Numbers {
  std::vector<float> all;
  Shares shares;

  Numbers(int ranks, std::size_t count, std::uint64_t seed) : all(count), shares(static_cast<std::size_t>(ranks)) {
    for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<float>(uniform(seed, i) - 0.5);
    std::size_t first = 0;
    for (std::size_t owner = 0; first < count; ++owner) {
      const std::size_t size = std::min(count - first, 1 + static_cast<std::size_t>(uniform(77, owner) * 5000));
      shares[(owner * owner + 1) % shares.size()].emplace_back(all.data() + first, size);
      first += size;
    }
  }
};

/// Of parts `step` apart: neighbours first, or those first that differ in the highest bit.
std::vector<float> tree(const std::vector<std::vector<float>>& parts, SumOrder order, std::size_t first,
                        std::size_t count, std::size_t step = 1) {
  if (count == 1) return parts[first];
  const bool are_neighbours = order == SumOrder::neighbours_first;
  const std::size_t of_half = are_neighbours ? step : 2 * step;
  std::vector<float> sum = tree(parts, order, first, count / 2, of_half);
  const std::vector<float> right =
      tree(parts, order, are_neighbours ? first + count / 2 * step : first + step, count / 2, of_half);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += right[i];
  return sum;
}

TEST(NumberExchange, AddsInTheTreesOrderAtTheOwnersAndGivesToAll) {
  constexpr std::size_t kCount = 100'003;
  for (const auto& [ranks, order] : {std::pair(1, SumOrder::neighbours_first),
                                     {2, SumOrder::neighbours_first},
                                     {4, SumOrder::neighbours_first},
                                     {8, SumOrder::neighbours_first},
                                     {2, SumOrder::halves_first},
                                     {8, SumOrder::halves_first}}) {
    SCOPED_TRACE(ranks);
    std::vector<std::vector<float>> parts;
    for (int rank = 0; rank < ranks; ++rank)
      parts.push_back(Numbers(ranks, kCount, static_cast<std::uint64_t>(rank)).all);
    const std::vector<float> expected = tree(parts, order, 0, parts.size());
    with_ranks(ranks, [&, order = order](Communicator& all) {
      CpuDevice device(Precision::f32);
      Numbers numbers(all.size(), kCount, static_cast<std::uint64_t>(all.rank()));
      add_up_shares(all, device, numbers.shares, order);
      for (const Piece& piece : numbers.shares[static_cast<std::size_t>(all.rank())]) {
        const auto place = static_cast<std::size_t>(piece.data() - numbers.all.data());
        EXPECT_EQ(std::memcmp(piece.data(), expected.data() + place, piece.size_bytes()), 0);
      }
      give_shares(all, numbers.shares);
      EXPECT_EQ(numbers.all, expected);
    });
  }
}

TEST(NumberExchange, SendsSharesOut) {
  constexpr std::size_t kCount = 20'000;
  constexpr int kRanks = 4;
  with_ranks(kRanks, [&](Communicator& all) {
    Numbers numbers(kRanks, kCount, static_cast<std::uint64_t>(all.rank()));
    const Numbers home(kRanks, kCount, kRanks);
    if (all.rank() == 0) numbers.all = home.all;
    send_shares_out(all, numbers.shares);
    for (const Piece& piece : numbers.shares[static_cast<std::size_t>(all.rank())]) {
      const auto place = static_cast<std::size_t>(piece.data() - numbers.all.data());
      ASSERT_EQ(std::memcmp(piece.data(), home.all.data() + place, piece.size_bytes()), 0);
    }
  });
}

}  // namespace
}  // namespace millrace
