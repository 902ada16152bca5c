#include "model/layers/self_attention.h"

#include "model/kernels/attention.h"
#include "model/kernels/rows.h"

namespace millrace {

SelfAttention::SelfAttention(const ModelConfig& config, const Parameters& parameters, const std::string& layer)
    : layer_(parameters.named(layer + "input_layernorm.weight").spec.layer),
      heads_(config.num_attention_heads),
      width_(heads_ * config.head_dim),
      norm_(parameters.named(layer + "input_layernorm.weight"), config.rms_norm_eps),
      qkv_({&parameters.named(layer + "self_attn.q_proj.weight"), &parameters.named(layer + "self_attn.k_proj.weight"),
            &parameters.named(layer + "self_attn.v_proj.weight")},
           Linear::Layout::out_in),
      output_({&parameters.named(layer + "self_attn.o_proj.weight")}, Linear::Layout::out_in) {}

void SelfAttention::project(const Pass& pass, const Tensor& h, Saved& saved) const {
  Device& device = pass.device;
  const Tensor x = saved.x.shaped(h.rows, h.columns, device.low());
  norm_.forward(pass, h, x, saved.inverse.shaped(1, h.rows, device.real()));
  const Tensor qkv = saved.qkv.shaped(h.rows, 3 * width_, device.low());
  qkv_.forward(device, x, qkv);
  device.run(TurnHeads{qkv.column_range(0, 2 * width_), pass.cosine, pass.sine, pass.position, 1}, h.rows);
  if (const DropoutMask mask = pass.dropout_mask(layer_, DropoutPlace::keys))
    device.run(DropKeys{qkv.column_range(2 * width_, width_), width_ / heads_, mask}, h.rows);
  saved.context.shaped(h.rows, width_, device.low());
  saved.log_sum.shaped(heads_, h.rows, device.real());
}

AttentionCall SelfAttention::call(const Pass& pass, const Saved& saved) const {
  const Tensor qkv = saved.qkv.tensor();
  const auto part = [&](Index i) { return qkv.column_range(i * width_, width_); };
  AttentionCall call;
  call.rows = pass.layout.rows;
  call.heads = heads_;
  call.q = part(0);
  call.k = part(1);
  call.v = part(2);
  call.out = saved.context.tensor();
  call.log_sum = saved.log_sum.tensor();
  call.first_key = pass.first_key;
  call.is_causal = pass.is_causal;
  return call;
}

void SelfAttention::forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch,
                            const Tensor& out) const {
  const PartTimer timer(pass.profile, Part::attention);
  project(pass, h, saved);
  attend(pass, call(pass, saved), h, scratch, out);
}

void SelfAttention::attend(const Pass& pass, const AttentionCall& call, const Tensor& h, Scratch& scratch,
                           const Tensor& out) const {
  pass.device.attend(call);
  const DropoutMask mask = pass.dropout_mask(layer_, DropoutPlace::attention);
  add_mapped(pass.device, output_, call.out, h, mask, scratch, out);
}

void SelfAttention::feed(const Pass& pass, const Tensor& h, const KeyValueCache& cache, Saved& saved, Scratch& scratch,
                         const Tensor& out) const {
  project(pass, h, saved);
  AttentionCall over_cache = call(pass, saved);
  const Tensor added = saved.qkv.tensor().column_range(width_, 2 * width_);
  pass.device.run(ScatterLowRows{added, pass.position, cache.rows}, h.rows);
  over_cache.start = cache.fed;
  over_cache.k = cache.rows.column_range(0, width_);
  over_cache.v = cache.rows.column_range(width_, width_);
  over_cache.position = pass.position;
  attend(pass, over_cache, h, scratch, out);
}

void SelfAttention::backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch,
                             const Tensor& dh) const {
  const PartTimer timer(pass.profile, Part::attention);
  Device& device = pass.device;
  const Tensor upstream = as_low(device, dh, pass.dropout_mask(layer_, DropoutPlace::attention), scratch.dh_low);
  output_.backward_weights(pass, upstream, saved.context.tensor());
  const Tensor d_context = scratch.d_context.shaped(h.rows, width_, device.low());
  output_.backward_input(device, upstream, d_context);
  const Tensor dqkv = scratch.dqkv.shaped(h.rows, 3 * width_, device.low());
  const auto part = [&](Index i) { return dqkv.column_range(i * width_, width_); };
  device.attend_backward({call(pass, saved), d_context, part(0), part(1), part(2)});
  if (const DropoutMask mask = pass.dropout_mask(layer_, DropoutPlace::keys))
    device.run(DropKeys{part(2), width_ / heads_, mask}, h.rows);
  device.run(TurnHeads{dqkv.column_range(0, 2 * width_), pass.cosine, pass.sine, pass.position, -1}, h.rows);
  qkv_.backward_weights(pass, dqkv, saved.x.tensor());
  const Tensor dx = scratch.dx.shaped(h.rows, h.columns, device.real());
  qkv_.backward_input(device, dqkv, dx);
  norm_.backward(pass, dx, h, saved.inverse.tensor(), scratch.gains, dh);
}

}  // namespace millrace
