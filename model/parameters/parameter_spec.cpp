#include "model/parameters/parameter_spec.h"

#include <algorithm>
#include <cmath>

namespace millrace {

namespace {

/// Scale of the variance-scaling initializers (flaxformer moe_decoder_only.gin).
constexpr double kScale = 0.1;
constexpr double kRouterStddev = 0.02;

using Law = Initializer::Law;

Initializer fan_in(Law law, std::int64_t inputs) {
  return {law, std::sqrt(kScale / static_cast<double>(inputs))};
}

/// Appends the parameters of one model in order.
class SpecList {
 public:
  explicit SpecList(const ModelConfig& config) : config_(config) {}

  std::vector<ParameterSpec> build() {
    const int hidden = config_.hidden_size;
    layer_ = ParameterSpec::kEmbedding;
    add("model.embed_tokens.weight", {config_.vocab_size, hidden}, {Law::normal, 1.0});
    for (layer_ = 0; layer_ < config_.num_hidden_layers; ++layer_) add_layer(layer_);
    add_norm("model.norm.weight");
    add("lm_head.weight", {config_.vocab_size, hidden}, fan_in(Law::truncated_normal, hidden));
    return std::move(specs_);
  }

 private:
  void add(const std::string& name, std::vector<std::int64_t> shape, Initializer initializer, bool per_expert = false) {
    specs_.push_back({name, std::move(shape), initializer, per_expert, layer_, specs_.size(), 0});
  }
  void add_norm(const std::string& name) { add(name, {config_.hidden_size}, {Law::ones, 0}); }

  void add_feed_forward(const std::string& prefix) {
    const int hidden = config_.hidden_size;
    const int inner = config_.intermediate_size;
    add(prefix + "gate_proj.weight", {2 * std::int64_t{inner}, hidden}, fan_in(Law::truncated_normal, hidden));
    add(prefix + "up_proj.weight", {inner, hidden}, fan_in(Law::truncated_normal, hidden));
    add(prefix + "down_proj.weight", {hidden, inner}, fan_in(Law::truncated_normal, inner));
  }

  void add_layer(int layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const int hidden = config_.hidden_size;
    const int inner = config_.intermediate_size;
    const int experts = config_.num_experts;
    const std::int64_t width = std::int64_t{config_.num_attention_heads} * config_.head_dim;
    // OpenMoE's attention does not scale q k^T; q's initial values include that factor instead.
    Initializer query = fan_in(Law::normal, hidden);
    query.stddev /= std::sqrt(config_.head_dim);
    add_norm(prefix + "input_layernorm.weight");
    add(prefix + "self_attn.q_proj.weight", {width, hidden}, query);
    add(prefix + "self_attn.k_proj.weight", {width, hidden}, fan_in(Law::normal, hidden));
    add(prefix + "self_attn.v_proj.weight", {width, hidden}, fan_in(Law::normal, hidden));
    add(prefix + "self_attn.o_proj.weight", {hidden, width}, fan_in(Law::normal, width));
    add_norm(prefix + "post_attention_layernorm.weight");
    if (!config_.is_moe_layer(layer)) {
      add_feed_forward(prefix + "mlp.");
      return;
    }
    add(prefix + "mlp.gate_weight", {experts, hidden}, {Law::normal, kRouterStddev});
    add(prefix + "mlp.experts.wi_gate", {experts, hidden, 2 * std::int64_t{inner}}, fan_in(Law::normal, hidden), true);
    add(prefix + "mlp.experts.wi_up", {experts, hidden, inner}, fan_in(Law::normal, hidden), true);
    add(prefix + "mlp.experts.wo", {experts, inner, hidden}, fan_in(Law::normal, inner), true);
    add_norm(prefix + "pre_extra_mlp_layernorm.weight");
    add_feed_forward(prefix + "extra_mlp.");
  }

  const ModelConfig& config_;
  int layer_ = 0;
  std::vector<ParameterSpec> specs_;
};

}  // namespace

std::int64_t ParameterSpec::size() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  return SpecList(config).build();
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config, const LayerRange& layers) {
  std::vector<ParameterSpec> specs = parameter_specs(config);
  std::erase_if(specs, [&](const ParameterSpec& spec) {
    const int layer = std::clamp(spec.layer, 0, config.num_hidden_layers - 1);
    return layer < layers.first || layer >= layers.end;
  });
  return specs;
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config, const LayerRange& layers,
                                           const ExpertRange& experts) {
  std::vector<ParameterSpec> specs = parameter_specs(config, layers);
  for (ParameterSpec& spec : specs) {
    if (!spec.per_expert) continue;
    spec.first_element = experts.first * (spec.size() / spec.shape.front());
    spec.shape.front() = experts.count;
  }
  return specs;
}

std::int64_t parameter_count(const ModelConfig& config) {
  std::int64_t count = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) count += spec.size();
  return count;
}

}  // namespace millrace
