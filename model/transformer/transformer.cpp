#include "model/transformer/transformer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "model/device/read_numbers.h"
#include "model/kernels/dropout.h"
#include "model/kernels/rows.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"
#include "model/pass/batch_on_device.h"

namespace millrace {

struct Activations::Impl {
  Impl(Device& device, const ModelConfig& config, std::size_t layers, std::size_t kept_layers)
      : batch(device, config), tokens(device) {
    for (std::size_t i = 0; i <= layers; ++i) stream.emplace_back(device);
    for (std::size_t i = 0; i < kept_layers; ++i) saved.emplace_back(device);
  }

  BatchOnDevice batch;
  std::optional<Pass> pass;
  TokenBatch targets;  ///< The batch itself: where labels and weights are.
  Embedding::Saved tokens;
  std::vector<Buffer> stream;         ///< (N, H) each: the residual stream before each layer, and behind the last.
  std::vector<Block::Saved> saved;    ///< Of each layer; none if layers are run again.
  std::vector<RoutingCounts> counts;  ///< Of each MoE layer.
};

struct Transformer::Impl {
  enum class Keep : std::uint8_t { nothing, inputs, all };

  Impl(Device& computing, const ModelConfig& model, const Parameters& parameters, Recompute again,
       const LayerRange& range)
      : device(computing),
        config(model),
        layers(range),
        keep(again == Recompute::yes ? Keep::inputs : Keep::all),
        last(computing),
        scratch(computing),
        a(computing),
        inverse(computing),
        dh(computing),
        da(computing) {
    if (range.has_embedding()) embedding.emplace(computing, parameters.named("model.embed_tokens.weight"));
    for (int layer = range.first; layer < range.end; ++layer) blocks.emplace_back(model, parameters, layer);
    if (range.has_head(model)) {
      final_norm.emplace(parameters.named("model.norm.weight"), model.rms_norm_eps);
      head.emplace(computing, parameters.named("lm_head.weight"), model.z_loss_factor);
    }
    for (int layer = 0; layer < model.num_hidden_layers; ++layer) moe_layers += model.is_moe_layer(layer) ? 1 : 0;
  }

  /// Where a layer's work is kept, if it is.
  Block::Saved& saved_of(Activations::Impl& kept, std::size_t layer, Keep what) {
    if (kept.saved.empty()) return last;
    return kept.saved[what == Keep::all ? layer : 0];
  }
  /// Returns the stream behind the last layer. Without backward, all layers share memory.
  Tensor forward(const TokenBatch& tokens, const Tensor& input, Mode mode, Keep what, Activations::Impl& kept,
                 const RoutingObserver& observer);
  /// Dropout in place, if there is any.
  void drop(const Pass& pass, int layer, DropoutPlace place, const Tensor& x);
  /// The last norm of the stream, in `a`.
  Tensor normed(const Pass& pass, const Tensor& h);
  /// The loss, and its gradient by the stream, in `dh`.
  Head::Sums loss(Activations::Impl& kept, double scale, TokenScores* scores, const Tensor& gradient);
  /// Fills `losses` from what the routers told and the head summed.
  void finish(const Activations::Impl& kept, const Head::Sums& sums, Losses& losses) const;
  void tell(const RoutingObserver& observer, std::size_t layer, const Routing& routing, const RoutingCounts& counts);

  Device& device;
  ModelConfig config;
  LayerRange layers;
  std::optional<Embedding> embedding;
  std::vector<Block> blocks;
  std::optional<RmsNorm> final_norm;
  std::optional<Head> head;
  Keep keep;           ///< For backward.
  int moe_layers = 0;  ///< Of the whole model.
  Profile* profile = nullptr;
  RoutingObserver observer;
  GradientPlace gradients;

  Losses passed;      ///< Of the last training pass.
  Block::Saved last;  ///< Of the layer that was last run, if layers are run again.
  Scratch scratch;
  Buffer a;                           ///< (N, H) low: the last norm
  Buffer inverse;                     ///< (1, N): of it
  Buffer dh, da;                      ///< (N, H) real
  std::vector<std::int32_t> experts;  ///< (N, k), for the observer.
};

namespace {

/// Sizes `scores` for a batch.
Head::PerPosition room_for(TokenScores* scores, Index positions) {
  if (scores == nullptr) return {};
  scores->cross_entropy.resize(static_cast<std::size_t>(positions));
  scores->correct.resize(scores->cross_entropy.size());
  return {scores->cross_entropy.data(), scores->correct.data()};
}

}  // namespace

Tensor Transformer::Impl::forward(const TokenBatch& tokens, const Tensor& input, Mode mode, Keep what,
                                  Activations::Impl& kept, const RoutingObserver& tell_to) {
  const Pass& pass = kept.pass.emplace(kept.batch.load(tokens, mode, profile));
  kept.targets = tokens;
  const auto shaped = [&](std::size_t layer) {
    Buffer& buffer = kept.stream[what == Keep::nothing ? 0 : layer];
    return buffer.shaped(pass.positions(), config.hidden_size, device.real());
  };
  Tensor h = shaped(0);
  if (embedding) {
    embedding->forward(pass, tokens.tokens, kept.tokens, h);
    drop(pass, ParameterSpec::kEmbedding, DropoutPlace::input, h);
  } else {
    device.run(CopyRows{input, h}, h.rows);
  }
  std::size_t moe_layer = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    Block::Saved& saved = saved_of(kept, i, what);
    const Tensor next = shaped(i + 1);
    blocks[i].forward(pass, h, saved, scratch, next);
    h = next;
    if (!blocks[i].experts()) continue;
    if (kept.counts.size() == moe_layer) kept.counts.emplace_back();
    RoutingCounts& counts = kept.counts[moe_layer++];
    blocks[i].experts()->router().read(pass, saved.experts.routing, counts);
    if (tell_to) tell(tell_to, i, saved.experts.routing, counts);
  }
  return h;
}

void Transformer::Impl::tell(const RoutingObserver& tell_to, std::size_t layer, const Routing& routing,
                             const RoutingCounts& counts) {
  experts.resize(counts.place.size());
  const Tensor chosen = routing.expert.tensor();
  device.to_host(experts.data(), chosen.data, experts.size() * sizeof(std::int32_t));
  tell_to({layers.first + static_cast<int>(layer), chosen.columns, experts, counts.place, routing.logits.tensor(),
           routing.probabilities.tensor()});
}

void Transformer::Impl::drop(const Pass& pass, int layer, DropoutPlace place, const Tensor& x) {
  if (const DropoutMask mask = pass.dropout_mask(layer, place)) device.run(DropRows{x, x, mask}, x.rows);
}

Tensor Transformer::Impl::normed(const Pass& pass, const Tensor& h) {
  const Tensor x = a.shaped(h.rows, h.columns, device.low());
  final_norm->forward(pass, h, x, inverse.shaped(1, h.rows, device.real()));
  drop(pass, layers.end, DropoutPlace::output, x);
  return x;
}

Head::Sums Transformer::Impl::loss(Activations::Impl& kept, double scale, TokenScores* scores, const Tensor& gradient) {
  const Pass& pass = *kept.pass;
  const Tensor h = kept.stream[blocks.size()].tensor();
  const Tensor x = normed(pass, h);
  const Tensor dx = da.shaped(x.rows, x.columns, device.real());
  Head::Sums sums;
  {
    const PartTimer timer(profile, Part::head_and_loss);
    sums = head->forward_backward(pass, x, {kept.targets.labels, kept.targets.loss_weights, kept.targets.loss_divisor},
                                  room_for(scores, x.rows), scale, dx);
  }
  device.clear(gradient.data, static_cast<std::size_t>(gradient.size()) * bytes_of(gradient.type));
  drop(pass, layers.end, DropoutPlace::output, dx);
  final_norm->backward(pass, dx, h, inverse.tensor(), scratch.gains, gradient);
  return sums;
}

void Transformer::Impl::finish(const Activations::Impl& kept, const Head::Sums& sums, Losses& losses) const {
  losses.routers.resize(kept.counts.size());
  for (std::size_t i = 0; i < kept.counts.size(); ++i)
    measure_routing(config, kept.batch.layout(), kept.batch.routing(), kept.counts[i], losses.routers[i]);
  losses.ce = sums.ce;
  losses.z_loss = config.z_loss_factor * sums.square;
  losses.loss_weight = sums.weight;
  losses.aux_loss = losses.router_z_loss = 0;
  for (const RouterStatistics& router : losses.routers) {
    losses.aux_loss += router.aux_loss / moe_layers;
    losses.router_z_loss += router.z_loss / moe_layers;
  }
  losses.total = losses.ce + losses.z_loss + config.router_aux_loss_factor * losses.aux_loss +
                 config.router_z_loss_factor * losses.router_z_loss;
}

Transformer::Transformer(Device& device, const ModelConfig& config, const Parameters& parameters, Recompute recompute)
    : Transformer(device, config, parameters, recompute, all_layers(config)) {}

Transformer::Transformer(Device& device, const ModelConfig& config, const Parameters& parameters, Recompute recompute,
                         const LayerRange& layers)
    : impl_(std::make_unique<Impl>(device, config, parameters, recompute, layers)), own_(*this) {}

Transformer::~Transformer() = default;

Activations::Activations(const Transformer& model) {
  const Transformer::Impl& of = *model.impl_;
  const std::size_t layers = of.blocks.size();
  impl_ = std::make_unique<Impl>(of.device, of.config, layers, of.keep == Transformer::Impl::Keep::all ? layers : 0);
}

Activations::~Activations() = default;
Activations::Activations(Activations&& other) noexcept = default;
Activations& Activations::operator=(Activations&& other) noexcept = default;

void Transformer::measure(Profile* profile) {
  impl_->profile = profile;
}

void Transformer::follow(const ModelConfig& config) {
  Impl& model = *impl_;
  model.config.router_aux_loss_factor = config.router_aux_loss_factor;
  model.config.router_z_loss_factor = config.router_z_loss_factor;
  model.config.z_loss_factor = config.z_loss_factor;
  model.config.dropout_rate = config.dropout_rate;
  if (model.head) model.head->set_z_loss_factor(config.z_loss_factor);
}

void Transformer::add_gradients_at(const GradientPlace& place) {
  impl_->gradients = place;
}

void Transformer::observe(RoutingObserver observer) {
  impl_->observer = std::move(observer);
}

const Losses& Transformer::losses() const {
  return impl_->passed;
}

Tensor Transformer::forward(const TokenBatch& batch, const Tensor& input, Activations& kept) {
  return impl_->forward(batch, input, Mode::train, impl_->keep, *kept.impl_, impl_->observer);
}

Tensor Transformer::backward(const Tensor& d_output, double gradient_scale, Activations& kept, TokenScores* scores,
                             const LayerDone& done) {
  Impl& model = *impl_;
  Activations::Impl& of = *kept.impl_;
  Pass& pass = *of.pass;
  const Tensor gradient = model.dh.shaped(pass.positions(), model.config.hidden_size, model.device.real());
  const auto tell = [&](int layer) {
    if (done) done(layer);
  };
  pass.gradients = model.gradients;
  Head::Sums sums;
  if (model.head) {
    sums = model.loss(of, gradient_scale, scores, gradient);
    tell(model.layers.end);
  } else {
    model.device.run(CopyRows{d_output, gradient}, gradient.rows);
  }
  if (model.moe_layers > 0) {
    pass.scales = {gradient_scale * model.config.router_aux_loss_factor / model.moe_layers,
                   gradient_scale * model.config.router_z_loss_factor / model.moe_layers};
  }
  for (std::size_t i = model.blocks.size(); i-- > 0;) {
    Block::Saved& saved = model.saved_of(of, i, model.keep);
    const Tensor h = of.stream[i].tensor();
    // What it makes again takes the place of the next layer's input, which is no longer needed.
    if (model.keep == Impl::Keep::inputs)
      model.blocks[i].forward(pass, h, saved, model.scratch, of.stream[i + 1].tensor());
    model.blocks[i].backward(pass, h, saved, model.scratch, gradient);
    tell(model.layers.first + static_cast<int>(i));
  }
  if (model.embedding) {
    model.drop(pass, ParameterSpec::kEmbedding, DropoutPlace::input, gradient);
    model.embedding->backward(pass, of.tokens, gradient);
    tell(ParameterSpec::kEmbedding);
  }
  model.device.wait();
  model.finish(of, sums, model.passed);
  return model.embedding ? Tensor{} : gradient;
}

const Losses& Transformer::forward_backward(const TokenBatch& batch, double gradient_scale, TokenScores* scores) {
  forward(batch, {}, own_);
  backward({}, gradient_scale, own_, scores);
  return losses();
}

TokenScores Transformer::score(const TokenBatch& batch, Losses* losses) {
  Impl& model = *impl_;
  Activations::Impl& kept = *own_.impl_;
  const Tensor h = model.forward(batch, {}, Mode::eval, Impl::Keep::nothing, kept, model.observer);
  const Tensor x = model.normed(*kept.pass, h);
  TokenScores scores;
  const PartTimer timer(model.profile, Part::head_and_loss);
  const Head::Sums sums = model.head->forward(*kept.pass, x, {batch.labels, batch.loss_weights, batch.loss_divisor},
                                              room_for(&scores, x.rows));
  if (losses != nullptr) model.finish(kept, sums, *losses);
  return scores;
}

Trace Transformer::trace(const TokenBatch& batch, Mode mode) {
  Impl& model = *impl_;
  Device& device = model.device;
  Activations::Impl& kept = *own_.impl_;
  Trace trace;
  const auto read = [&](const Tensor& there) {
    std::vector<double> numbers(static_cast<std::size_t>(there.size()));
    read_numbers(device, there, numbers);
    return numbers;
  };
  const Tensor h = model.forward(batch, {}, mode, Impl::Keep::nothing, kept, [&](const LayerRouting& routing) {
    trace.router_logits.push_back(read(routing.logits));
    std::vector<std::uint8_t> placed(static_cast<std::size_t>(routing.logits.size()), 0);
    for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
      const Index token = static_cast<Index>(pair) / routing.choices;
      placed[static_cast<std::size_t>(token * routing.logits.columns + routing.expert[pair])] =
          routing.place[pair] >= 0;
    }
    trace.kept.push_back(std::move(placed));
  });
  Losses losses;
  model.finish(kept, {}, losses);
  trace.routers = std::move(losses.routers);
  Buffer logits(device);
  const Tensor x = model.normed(*kept.pass, h);
  model.head->logits(device, x, logits.shaped(x.rows, model.config.vocab_size, device.real()));
  trace.logits = read(logits.tensor());
  return trace;
}

}  // namespace millrace
