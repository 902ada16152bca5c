#include "model/layers/feed_forward.h"

#include "model/kernels/rows.h"
#include "model/kernels/swiglu.h"

namespace millrace {

FeedForward::FeedForward(const ModelConfig& config, const Parameters& parameters, const std::string& norm,
                         const std::string& network)
    : layer_(parameters.named(norm).spec.layer),
      norm_(parameters.named(norm), config.rms_norm_eps),
      gate_up_({&parameters.named(network + "gate_proj.weight"), &parameters.named(network + "up_proj.weight")},
               Linear::Layout::out_in),
      down_({&parameters.named(network + "down_proj.weight")}, Linear::Layout::out_in) {}

void FeedForward::forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const {
  const PartTimer timer(pass.profile, Part::dense_ffn);
  Device& device = pass.device;
  const Tensor x = saved.x.shaped(h.rows, h.columns, device.low());
  norm_.forward(pass, h, x, saved.inverse.shaped(1, h.rows, device.real()));
  const Tensor gated = saved.gated.shaped(h.rows, gate_up_.outputs(), device.low());
  gate_up_.forward(device, x, gated);
  const Tensor hidden = scratch.hidden.shaped(h.rows, down_.inputs(), device.low());
  device.run(SwigluRows{gated, hidden}, SwigluRows::blocks(hidden));
  if (const DropoutMask inside = pass.dropout_mask(layer_, DropoutPlace::hidden))
    device.run(DropRows{hidden, hidden, inside}, h.rows);
  add_mapped(device, down_, hidden, h, pass.dropout_mask(layer_, DropoutPlace::dense), scratch, out);
}

void FeedForward::backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const {
  const PartTimer timer(pass.profile, Part::dense_ffn);
  Device& device = pass.device;
  const Tensor gated = saved.gated.tensor();
  const Tensor upstream = as_low(device, dh, pass.dropout_mask(layer_, DropoutPlace::dense), scratch.dh_low);
  const Tensor hidden = scratch.hidden.shaped(h.rows, down_.inputs(), device.low());
  const Tensor d_hidden = scratch.d_hidden.shaped(h.rows, down_.inputs(), device.low());
  down_.backward_input(device, upstream, d_hidden);
  const DropoutMask inside = pass.dropout_mask(layer_, DropoutPlace::hidden);
  if (inside) device.run(DropRows{d_hidden, d_hidden, inside}, h.rows);
  device.run(SwigluBackward{gated, d_hidden, hidden}, h.rows);
  if (inside) device.run(DropRows{hidden, hidden, inside}, h.rows);
  down_.backward_weights(pass, upstream, hidden);
  gate_up_.backward_weights(pass, gated, saved.x.tensor());
  const Tensor dx = scratch.dx.shaped(h.rows, h.columns, device.real());
  gate_up_.backward_input(device, gated, dx);
  norm_.backward(pass, dx, h, saved.inverse.tensor(), scratch.gains, dh);
}

}  // namespace millrace
