#include "model/pass/batch_on_device.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace millrace {
namespace {

template <class Value>
const Value* upload(Device& device, const std::vector<Value>& values, Buffer& there, Type type) {
  const Tensor tensor = there.shaped(1, static_cast<Index>(values.size()), type);
  device.to_device(tensor.data, values.data(), values.size() * sizeof(Value));
  return static_cast<const Value*>(tensor.data);
}

/// In bf16 the processor's products like a multiple of 32 rows, so that there are few different shapes.
int slot_multiple(const Device& device, Index pairs, Mode mode) {
  constexpr int kMultiple = 32;
  if (device.has_ragged_products()) return device.precision() == Precision::bf16 ? kMultiple : 1;
  return mode == Mode::eval && device.takes_ragged_rows(pairs) ? 1 : 0;
}

}  // namespace

Pass BatchOnDevice::load(const TokenBatch& batch, Mode mode, Profile* profile) {
  describe(batch, layout_);
  Pass pass = loaded(mode, profile);
  if (mode == Mode::train) pass.dropout = {config_.dropout_rate, batch.seed, batch.step, batch.first_row};
  return pass;
}

Pass BatchOnDevice::load(BatchLayout layout, Mode mode, Profile* profile) {
  layout_ = std::move(layout);
  return loaded(mode, profile);
}

Pass BatchOnDevice::load_more(int count, std::int32_t fed, Profile* profile) {
  const auto size = static_cast<std::size_t>(count);
  layout_.rows = 1;
  layout_.length = count;
  layout_.position.resize(size);
  std::iota(layout_.position.begin(), layout_.position.end(), fed);
  layout_.first_key.assign(size, 0);
  layout_.real.assign(size, 1);
  Pass pass = loaded(Mode::eval, profile);
  pass.has_router_sums = false;
  return pass;
}

Pass BatchOnDevice::loaded(Mode mode, Profile* profile) {
  std::int32_t last = 0;
  for (const std::int32_t position : layout_.position) {
    if (position < 0) throw std::out_of_range("a negative position in a micro-batch");
    last = std::max(last, position);
  }
  rope_.reserve(last + 1);
  plan_routing(config_, layout_, mode, routing_);
  routing_.slot_multiple = slot_multiple(device_, layout_.size() * routing_.choices, mode);
  upload(device_, layout_.first_key, first_key_, Type::i32);
  return {.device = device_,
          .layout = layout_,
          .routing = routing_,
          .position = upload(device_, layout_.position, position_, Type::i32),
          .first_key = first_key_.tensor(),
          .is_causal = std::ranges::all_of(layout_.first_key, [](std::int32_t key) { return key == 0; }),
          .real = upload(device_, layout_.real, real_, Type::u8),
          .routed = upload(device_, routing_.routed, routed_, Type::u8),
          .group_weight = upload(device_, routing_.group_weight, group_weight_, Type::f64),
          .has_router_sums = true,
          .cosine = rope_.cosine(),
          .sine = rope_.sine(),
          .dropout = {},
          .gradients = {},
          .scales = {},
          .profile = profile,
          .exchange = nullptr};
}

}  // namespace millrace
