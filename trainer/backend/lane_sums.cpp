#include "trainer/backend/lane_sums.h"

#include <stdexcept>

#include "model/kernels/rows.h"

namespace millrace {
namespace {

/// Numbers that a block adds.
constexpr Index kBlock = 1 << 14;

std::ptrdiff_t bytes_between(const Tensor& from, const Tensor& to) {
  return static_cast<std::byte*>(to.data) - static_cast<std::byte*>(from.data);
}

}  // namespace

void add_numbers(Device& device, const Tensor& from, const Tensor& to) {
  const Index blocks = from.columns / kBlock;
  const auto whole_blocks = [&](const Tensor& all) { return Tensor{all.data, all.type, blocks, kBlock, kBlock}; };
  if (blocks > 0) device.run(AddRows{whole_blocks(from), whole_blocks(to)}, blocks);
  const Index rest = from.columns - blocks * kBlock;
  if (rest > 0)
    device.run(AddRows{from.column_range(blocks * kBlock, rest), to.column_range(blocks * kBlock, rest)}, 1);
}

LaneSums::LaneSums(Device& device, const ParameterMemory& memory, LaneShape shape)
    : device_(device), memory_(memory), shape_(shape) {
  if (!std::has_single_bit(shape.lanes) || !std::has_single_bit(shape.expert_lanes))
    throw std::logic_error("lanes that are not a power of two");
}

/// Where a sub-lane of the current lane is added up.
Tensor LaneSums::shared(std::size_t sub_lane) const {
  return sub_lane > 0 ? memory_.shared_gradients(static_cast<int>(sub_lane))
                      : memory_.whole_gradients(static_cast<int>(complete_));
}

void LaneSums::clear(const Tensor& gradients) {
  device_.clear(gradients.data, static_cast<std::size_t>(gradients.size()) * bytes_of(gradients.type));
}

GradientPlace LaneSums::begin(std::size_t micro_batch, std::size_t micro_batches) {
  const std::size_t in_lane = micro_batch % (micro_batches / shape_.lanes);
  const std::size_t sub_lane = in_lane % shape_.expert_lanes;
  if (micro_batch == 0) complete_ = 0;
  const Tensor own = memory_.whole_gradients(0);
  const Tensor lane = memory_.whole_gradients(static_cast<int>(complete_));
  const Tensor place = shared(sub_lane);
  if (in_lane == 0)
    clear(lane);
  else if (in_lane < shape_.expert_lanes)
    clear(place);
  return {.shared = bytes_between(own, place), .experts = bytes_between(own, lane)};
}

void LaneSums::end(std::size_t micro_batch, std::size_t micro_batches) {
  const std::size_t in_a_lane = micro_batches / shape_.lanes;
  if ((micro_batch + 1) % in_a_lane != 0) return;
  const Tensor lane = memory_.whole_gradients(static_cast<int>(complete_));
  const Index shared_size = memory_.shared_gradients(0).columns;
  for (std::size_t half = shape_.expert_lanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) add(shared(i + half), shared(i).column_range(0, shared_size));
  }
  if (done_) {
    const std::ptrdiff_t place = bytes_between(memory_.whole_gradients(0), lane);
    done_({.shared = place, .experts = place});
  }
  // As a binary counter: two sums of equally many lanes become one.
  Tensor sum = lane;
  for (std::size_t lanes = micro_batch / in_a_lane; lanes % 2 == 1; lanes /= 2) {
    const Tensor before = memory_.whole_gradients(static_cast<int>(--complete_));
    add(sum, before);
    sum = before;
  }
  ++complete_;
}

}  // namespace millrace
