#include "model/layers/block.h"

#include <algorithm>
#include <utility>

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kBlockRows = 64;

std::string prefix_of(int layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

template <class Scalar>
FeedForwardWeights<Scalar> weights_of(const ModelConfig& config, Parameters<Scalar>& parameters,
                                      const std::string& prefix) {
  const Parameter<Scalar>& gate = parameters.named(prefix + "gate_proj.weight");
  const Parameter<Scalar>& up = parameters.named(prefix + "up_proj.weight");
  const Parameter<Scalar>& down = parameters.named(prefix + "down_proj.weight");
  return {config.hidden_size,
          config.intermediate_size,
          FeedForwardWeights<Scalar>::Layout::out_in,
          gate.value,
          up.value,
          down.value,
          gate.grad,
          up.grad,
          down.grad,
          gate.image,
          up.image,
          down.image};
}

template <class Scalar>
void keep(View<const Scalar> h, Matrix<Scalar>& copy) {
  copy.reshape(h.rows, h.columns);
  for_ranges(h.rows, kBlockRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) std::copy_n(h.row(i), h.columns, copy.row(i));
  });
}

}  // namespace

template <class Scalar>
void add(View<const Scalar> from, View<Scalar> to) {
  for_ranges(to.rows, kBlockRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) array_of(to.row(i), to.columns) += array_of(from.row(i), to.columns);
  });
}

template <class Scalar>
Block<Scalar>::Block(const ModelConfig& config, Parameters<Scalar>& parameters, int layer)
    : attention_norm_(parameters.named(prefix_of(layer) + "input_layernorm.weight"), config.rms_norm_eps),
      attention_(config, parameters, prefix_of(layer) + "self_attn."),
      dense_norm_(parameters.named(prefix_of(layer) + (config.is_moe_layer(layer) ? "pre_extra_mlp_layernorm.weight"
                                                                                  : "post_attention_layernorm.weight")),
                  config.rms_norm_eps),
      dense_(weights_of(config, parameters, prefix_of(layer) + (config.is_moe_layer(layer) ? "extra_mlp." : "mlp."))) {
  if (!config.is_moe_layer(layer)) return;
  experts_norm_.emplace(parameters.named(prefix_of(layer) + "post_attention_layernorm.weight"), config.rms_norm_eps);
  experts_.emplace(config, parameters, prefix_of(layer) + "mlp.");
}

template <class Scalar>
void Block<Scalar>::forward(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const {
  std::optional<PartTimer> timer(std::in_place, context.profile, Part::attention);
  keep<Scalar>(h, saved.attention_h);
  saved.attention_x.reshape(h.rows, h.columns);
  scratch.y.reshape(h.rows, h.columns);
  attention_norm_.forward(h, context.layout->real.data(), saved.attention_x.view());
  attention_.forward(saved.attention_image.of(saved.attention_x.view(), dense_.precision()), *context.layout,
                     *context.rope, saved.attention, scratch.y.view());
  add<Scalar>(scratch.y.view(), h);
  timer.reset();
  feed(context, saved, scratch, h);
}

template <class Scalar>
void Block<Scalar>::feed(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const {
  if (experts_) {
    keep<Scalar>(h, saved.experts_h);
    saved.experts_x.reshape(h.rows, h.columns);
    scratch.y.reshape(h.rows, h.columns);
    experts_norm_->forward(h, context.layout->real.data(), saved.experts_x.view());
    experts_->forward(saved.experts_x.view(), *context.layout, context.mode, saved.experts, scratch.y.view(),
                      context.profile);
    add<Scalar>(scratch.y.view(), h);
  }
  feed_dense(context, saved, scratch, h);
}

template <class Scalar>
FeedForwardSaved<Scalar> Block<Scalar>::dense_memory(Index rows, Saved& saved, Scratch& scratch) const {
  saved.gate.reshape(rows, Index{2} * dense_.intermediate);
  saved.up.reshape(rows, dense_.intermediate);
  saved.hidden.reshape(rows, dense_.intermediate);
  if (dense_.precision() == Precision::f32) return {saved.gate.view(), saved.up.view(), saved.hidden.view()};
  saved.hidden_image.reshape(rows, dense_.intermediate);
  scratch.gate_image.reshape(rows, Index{2} * dense_.intermediate);
  scratch.up_image.reshape(rows, dense_.intermediate);
  return {saved.gate.view(),         saved.up.view(),           saved.hidden.view(),
          saved.hidden_image.view(), scratch.gate_image.view(), scratch.up_image.view()};
}

template <class Scalar>
void Block<Scalar>::feed_dense(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const {
  const PartTimer timer(context.profile, Part::dense_ffn);
  keep<Scalar>(h, saved.dense_h);
  saved.dense_x.reshape(h.rows, h.columns);
  scratch.y.reshape(h.rows, h.columns);
  dense_norm_.forward(h, context.layout->real.data(), saved.dense_x.view());
  feed_forward<Scalar>(dense_, saved.dense_image.of(saved.dense_x.view(), dense_.precision()),
                       dense_memory(h.rows, saved, scratch), scratch.y.view());
  add<Scalar>(scratch.y.view(), h);
}

template <class Scalar>
void Block<Scalar>::backward(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> dh) const {
  const std::uint8_t* real = context.layout->real.data();
  std::optional<PartTimer> timer(std::in_place, context.profile, Part::dense_ffn);
  scratch.y.reshape(dh.rows, dh.columns);
  scratch.d_hidden.reshape(dh.rows, dense_.intermediate);
  feed_forward_backward<Scalar>(dense_, scratch.dh.of(dh, dense_.precision()),
                                saved.dense_image.again(saved.dense_x.view()), dense_memory(dh.rows, saved, scratch),
                                scratch.d_hidden.view(), scratch.y.view());
  dense_norm_.backward(scratch.y.view(), saved.dense_h.view(), real, scratch.norm, dh);
  timer.reset();
  if (experts_) {
    experts_->backward(dh, saved.experts_x.view(), saved.experts, context.scales, scratch.experts, scratch.y.view(),
                       context.profile);
    experts_norm_->backward(scratch.y.view(), saved.experts_h.view(), real, scratch.norm, dh);
  }
  timer.emplace(context.profile, Part::attention);
  attention_.backward(scratch.dh.of(dh, dense_.precision()), saved.attention_image.again(saved.attention_x.view()),
                      *context.layout, *context.rope, saved.attention, scratch.attention, scratch.y.view());
  attention_norm_.backward(scratch.y.view(), saved.attention_h.view(), real, scratch.norm, dh);
}

template void add<float>(View<const float>, View<float>);
template void add<double>(View<const double>, View<double>);
template class Block<float>;
template class Block<double>;

}  // namespace millrace
