#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/device/device.h"
#include "model/tensor.h"
#include "trainer/distributed/communicator.h"

namespace millrace {

/// Consecutive f32 numbers in the memory of this process.
using Piece = std::span<float>;

/// The runs of each rank's share, in one order: as many numbers on every rank. Of gradients, or of values.
using Shares = std::vector<std::vector<Piece>>;

/// So many numbers of each share go at once among so many ranks.
std::size_t numbers_of_a_bucket(std::size_t ranks);

/// The order in which ranks' numbers are added up: that of LaneSums.
enum class SumOrder : std::uint8_t {
  neighbours_first,  ///< Neighbouring ranks, neighbouring pairs of them, and so on: lanes.
  halves_first,      ///< Ranks whose numbers differ in the highest bit, down to neighbours: sub-lanes.
};

/// Adds up each share over all ranks at the rank that owns it. Other ranks' numbers stay as they are. By buckets of
/// some megabytes, so that memory is bounded. REQUIRES: the number of ranks is a power of two.
void add_up_shares(Communicator& ranks, Device& device, const Shares& shares, SumOrder order);

/// Gives each share from its owner to all ranks.
void give_shares(Communicator& ranks, const Shares& shares);

/// Gives what rank 0 has of each share to its owner.
void send_shares_out(Communicator& ranks, const Shares& shares);

}  // namespace millrace
