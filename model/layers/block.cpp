#include "model/layers/block.h"

#include <string>

namespace millrace {
namespace {

std::string prefix_of(int layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

}  // namespace

Block::Block(const ModelConfig& config, const Parameters& parameters, int layer)
    : attention_(config, parameters, prefix_of(layer)),
      dense_(config, parameters,
             prefix_of(layer) +
                 (config.is_moe_layer(layer) ? "pre_extra_mlp_layernorm.weight" : "post_attention_layernorm.weight"),
             prefix_of(layer) + (config.is_moe_layer(layer) ? "extra_mlp." : "mlp.")) {
  if (config.is_moe_layer(layer)) experts_.emplace(config, parameters, prefix_of(layer));
}

void Block::forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const {
  attention_.forward(pass, h, saved.attention, scratch, saved.behind_attention.shaped(h.rows, h.columns, h.type));
  behind(pass, saved, scratch, out);
}

void Block::feed(const Pass& pass, const Tensor& h, const KeyValueCache& cache, Saved& saved, Scratch& scratch,
                 const Tensor& out) const {
  attention_.feed(pass, h, cache, saved.attention, scratch, saved.behind_attention.shaped(h.rows, h.columns, h.type));
  behind(pass, saved, scratch, out);
}

/// The sub-layers behind attention.
void Block::behind(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& out) const {
  Tensor h = saved.behind_attention.tensor();
  if (experts_) {
    const Tensor next = saved.behind_experts.shaped(h.rows, h.columns, h.type);
    experts_->forward(pass, h, saved.experts, scratch, next);
    h = next;
  }
  dense_.forward(pass, h, saved.dense, scratch, out);
}

void Block::backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const {
  const Tensor behind_attention = saved.behind_attention.tensor();
  dense_.backward(pass, experts_ ? saved.behind_experts.tensor() : behind_attention, saved.dense, scratch, dh);
  if (experts_) experts_->backward(pass, behind_attention, saved.experts, scratch, dh);
  attention_.backward(pass, h, saved.attention, scratch, dh);
}

}  // namespace millrace
