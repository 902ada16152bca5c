#pragma once

#include <vector>

#include "model/device/buffer.h"
#include "model/kernels/dropout.h"
#include "model/kernels/rows.h"
#include "model/layers/linear.h"
#include "model/pass/pass.h"

namespace millrace {

/// Memory that no layer needs beyond its own work: all share it.
struct Scratch {
  explicit Scratch(Device& device)
      : dh_low(device),
        dx(device),
        added(device),
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

  Buffer dh_low, dx;
  Buffer added;  ///< With dropout: what a sub-layer adds, or its gradient.
  Buffer gains;
  Buffer hidden, d_hidden;
  Buffer d_context, dqkv;
  Buffer d_gates, d_logits, dx_slots, dy_slots, slot_hidden, slot_d_hidden;
  std::vector<Buffer> met_y, met_slots;  ///< With an exchange, of each member: of experts' results; of their input.
};

/// dh as products read it, through the dropout of what was added: itself, or made in `memory`.
inline Tensor as_low(Device& device, const Tensor& dh, const DropoutMask& mask, Buffer& memory) {
  if (device.low() == dh.type && !mask) return dh;
  const Tensor low = memory.shaped(dh.rows, dh.columns, device.low());
  if (mask)
    device.run(DropRows{dh, low, mask}, dh.rows);
  else
    device.run(RoundRows{dh, low}, dh.rows);
  return low;
}

/// out = h + x W, with dropout of what is added.
inline void add_mapped(Device& device, const Linear& map, const Tensor& x, const Tensor& h, const DropoutMask& mask,
                       Scratch& scratch, const Tensor& out) {
  if (mask) {
    const Tensor added = scratch.added.shaped(h.rows, h.columns, device.real());
    map.forward(device, x, added);
    device.run(AddDropped{h, added, out, mask}, h.rows);
    return;
  }
  map.forward(device, x, out, h);
}

}  // namespace millrace
