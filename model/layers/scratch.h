#pragma once

#include "model/device/buffer.h"
#include "model/kernels/rows.h"
#include "model/pass/pass.h"

namespace millrace {

/// Memory that no layer needs beyond its own work: all share it.
struct Scratch {
  explicit Scratch(Device& device)
      : dh_low(device),
        dx(device),
        gains(device),
        hidden(device),
        d_hidden(device),
        d_context(device),
        dqkv(device),
        d_gates(device),
        d_logits(device),
        dx_slots(device),
        dy_slots(device),
        slot_hidden(device),
        slot_d_hidden(device) {}

  Buffer dh_low, dx, gains;
  Buffer hidden, d_hidden;
  Buffer d_context, dqkv;
  Buffer d_gates, d_logits, dx_slots, dy_slots, slot_hidden, slot_d_hidden;
};

/// dh as products read it: itself, or rounded into `memory`.
inline Tensor as_low(Device& device, const Tensor& dh, Buffer& memory) {
  if (device.low() == dh.type) return dh;
  const Tensor low = memory.shaped(dh.rows, dh.columns, device.low());
  device.run(RoundRows{dh, low}, dh.rows);
  return low;
}

}  // namespace millrace
