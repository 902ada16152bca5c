#include "trainer/ranked/number_exchange.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <utility>

#include "trainer/backend/lane_sums.h"

namespace millrace {
namespace {

/// Numbers that a rank sends or receives at once, over all others.
constexpr std::size_t kBucket = std::size_t{16} << 20;

std::size_t size_of(const std::vector<Piece>& runs) {
  std::size_t size = 0;
  for (const Piece& piece : runs) size += piece.size();
  return size;
}

/// copy(part of a piece, its place) for numbers `first` to `first + count` of the pieces.
template <class Copy>
void for_part(const std::vector<Piece>& runs, std::size_t first, std::size_t count, Copy&& copy) {
  std::size_t at = 0;
  std::size_t begin = 0;
  for (const Piece& piece : runs) {
    const std::size_t from = std::max(first, begin);
    const std::size_t end = std::min(first + count, begin + piece.size());
    if (from < end) {
      copy(piece.subspan(from - begin, end - from), at);
      at += end - from;
    }
    begin += piece.size();
    if (begin >= first + count) return;
  }
}

void pack(const std::vector<Piece>& runs, std::size_t first, std::span<float> to) {
  for_part(runs, first, to.size(),
           [&](Piece part, std::size_t at) { std::ranges::copy(part, to.begin() + static_cast<std::ptrdiff_t>(at)); });
}

void unpack(std::span<const float> from, const std::vector<Piece>& runs, std::size_t first) {
  for_part(runs, first, from.size(),
           [&](Piece part, std::size_t at) { std::ranges::copy(from.subspan(at, part.size()), part.begin()); });
}

Tensor tensor_of(std::span<float> numbers) {
  const auto count = static_cast<Index>(numbers.size());
  return {numbers.data(), Type::f32, 1, count, count};
}

void add_to(Device& device, std::span<float> from, const std::vector<Piece>& runs, std::size_t first) {
  for_part(runs, first, from.size(), [&](Piece part, std::size_t at) {
    add_numbers(device, tensor_of(from.subspan(at, part.size())), tensor_of(part));
  });
}

/// A bucket of each share.
class Rounds {
 public:
  Rounds(const Shares& shares, std::size_t ranks) : shares_(shares), most_(numbers_of_a_bucket(ranks)) {
    for (const std::vector<Piece>& runs : shares) longest_ = std::max(longest_, size_of(runs));
  }
  std::size_t count() const { return (longest_ + most_ - 1) / most_; }
  std::size_t first(std::size_t round) const { return round * most_; }
  std::size_t size(std::size_t round, std::size_t owner) const {
    const std::size_t all = size_of(shares_[owner]);
    return std::min(most_, all - std::min(all, first(round)));
  }

 private:
  const Shares& shares_;
  std::size_t most_;
  std::size_t longest_ = 0;
};

Communicator::In bytes(const std::vector<float>& numbers) {
  return std::as_bytes(std::span(numbers));
}
Communicator::Out bytes(std::vector<float>& numbers) {
  return std::as_writable_bytes(std::span(numbers));
}

/// Buffers of one round of add_up_shares(), by rank. This rank's own numbers stay where they are.
struct SumRound {
  std::vector<std::vector<float>> to, from;
  Pending pending = 0;
};

/// add(i, j) for the ranks that are added up: rank i's numbers to rank j's, which become the sum of both. All end up in
/// those of `own`.
template <class Add>
void add_tree(std::size_t ranks, std::size_t own, SumOrder order, Add&& add) {
  // In the order in which neighbours come first.
  std::vector<std::size_t> sums(ranks);
  const int bits = std::countr_zero(ranks);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] = i;
    for (int bit = 0; bit < bits && order == SumOrder::halves_first; ++bit) {
      const std::size_t one = (i >> bit) & 1U;
      sums[i] = bit == 0 ? one << (bits - 1) : sums[i] | (one << (bits - 1 - bit));
    }
  }
  while (sums.size() > 1) {
    for (std::size_t i = 0; i < sums.size() / 2; ++i) {
      // A sum stands in the first of its parts, or in `own` where that is among them. Either order of two numbers gives
      // the same bits.
      std::size_t to = sums[2 * i];
      std::size_t from = sums[2 * i + 1];
      if (from == own) std::swap(to, from);
      add(from, to);
      sums[i] = to;
    }
    sums.resize(sums.size() / 2);
  }
}

}  // namespace

std::size_t numbers_of_a_bucket(std::size_t ranks) {
  return std::max<std::size_t>(kBucket / ranks, 1);
}

void add_up_shares(Communicator& ranks, Device& device, const Shares& shares, SumOrder order) {
  const auto count = static_cast<std::size_t>(ranks.size());
  const auto own = static_cast<std::size_t>(ranks.rank());
  if (count == 1) return;
  const Rounds rounds(shares, count);
  const auto begin = [&](SumRound& round, std::size_t number) {
    round.to.resize(count);
    round.from.resize(count);
    std::vector<Communicator::In> to;
    std::vector<Communicator::Out> from;
    for (std::size_t i = 0; i < count; ++i) {
      if (i != own) {
        round.to[i].resize(rounds.size(number, i));
        pack(shares[i], rounds.first(number), round.to[i]);
        round.from[i].resize(rounds.size(number, own));
      }
      to.push_back(bytes(std::as_const(round.to[i])));
      from.push_back(bytes(round.from[i]));
    }
    round.pending = ranks.all_to_all(to, from);
  };
  std::array<SumRound, 2> both;  // The next is on its way while one is added.
  if (rounds.count() > 0) begin(both[0], 0);
  for (std::size_t number = 0; number < rounds.count(); ++number) {
    SumRound& round = both[number % 2];
    if (number + 1 < rounds.count()) begin(both[(number + 1) % 2], number + 1);
    ranks.wait(round.pending);
    add_tree(count, own, order, [&](std::size_t from, std::size_t to) {
      if (to == own)
        add_to(device, round.from[from], shares[own], rounds.first(number));
      else
        add_numbers(device, tensor_of(round.from[from]), tensor_of(round.from[to]));
    });
  }
}

void give_shares(Communicator& ranks, const Shares& shares) {
  const auto count = static_cast<std::size_t>(ranks.size());
  const auto own = static_cast<std::size_t>(ranks.rank());
  if (count == 1) return;
  const Rounds rounds(shares, count);
  std::vector<std::vector<float>> all(count);
  for (std::size_t number = 0; number < rounds.count(); ++number) {
    std::vector<Communicator::Out> places;
    for (std::size_t i = 0; i < count; ++i) {
      all[i].resize(rounds.size(number, i));
      places.push_back(bytes(all[i]));
    }
    pack(shares[own], rounds.first(number), all[own]);
    ranks.wait(ranks.all_gather(places[own], places));
    for (std::size_t i = 0; i < count; ++i)
      if (i != own) unpack(all[i], shares[i], rounds.first(number));
  }
}

void send_shares_out(Communicator& ranks, const Shares& shares) {
  if (ranks.rank() != 0) {
    for (const Piece& piece : shares[static_cast<std::size_t>(ranks.rank())])
      ranks.wait(ranks.receive(std::as_writable_bytes(piece), 0));
    return;
  }
  for (int owner = 1; owner < ranks.size(); ++owner)
    for (const Piece& piece : shares[static_cast<std::size_t>(owner)])
      ranks.wait(ranks.send(std::as_bytes(piece), owner));
}

}  // namespace millrace
