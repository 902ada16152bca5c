#include "model/transformer/transformer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
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
  /// What the device tells of a micro-batch, once `moment` was waited for. It outlives the activations, which the next
  /// one may have taken.
  struct Told {
    std::vector<RoutingCounts> counts;  ///< Of each MoE layer.
    Head::Told head;                    ///< Where there is a loss.
    bool has_loss = false;
    BatchLayout layout;
    RoutingPlan routing;
    Device::Moment moment = 0;
  };

  Impl(Device& computing, const ModelConfig& config, std::size_t layers, std::size_t kept_layers)
      : device(computing), batch(computing, config), tokens(computing) {
    for (std::size_t i = 0; i <= layers; ++i) stream.emplace_back(computing);
    for (std::size_t i = 0; i < kept_layers; ++i) saved.emplace_back(computing);
  }

  Device& device;
  BatchOnDevice batch;
  std::optional<Pass> pass;
  TokenBatch targets;  ///< The batch itself: where labels and weights are.
  Embedding::Saved tokens;
  std::vector<Buffer> stream;       ///< (N, H) each: the residual stream before each layer, and behind the last.
  std::vector<Block::Saved> saved;  ///< Of each layer; none if layers are run again.
  std::array<Told, 2> told;
  std::size_t turn = 0;  ///< Which of them is the present micro-batch's.

  Told& present() { return told[turn]; }

  /// The device may have still to write what it tells.
  ~Impl() {
    try {
      device.wait();
    } catch (...) {  // It failed, and has told so or will.
    }
  }
};

namespace {

int moe_layers_of(const ModelConfig& config) {
  int count = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) count += config.is_moe_layer(layer) ? 1 : 0;
  return count;
}

/// What follows from the routers' losses and the head's, of a model with so many MoE layers.
void add_up(const ModelConfig& config, int moe_layers, Losses& losses) {
  losses.aux_loss = losses.router_z_loss = 0;
  for (const RouterStatistics& router : losses.routers) {
    losses.aux_loss += router.aux_loss / moe_layers;
    losses.router_z_loss += router.z_loss / moe_layers;
  }
  losses.total = losses.ce + losses.z_loss + config.router_aux_loss_factor * losses.aux_loss +
                 config.router_z_loss_factor * losses.router_z_loss;
}

}  // namespace

Losses losses_of_stages(const ModelConfig& config, std::span<const Losses> stages) {
  Losses whole = stages.back();
  whole.routers.clear();
  for (const Losses& stage : stages)
    whole.routers.insert(whole.routers.end(), stage.routers.begin(), stage.routers.end());
  add_up(config, moe_layers_of(config), whole);
  return whole;
}

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
    moe_layers = moe_layers_of(model);
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
  void loss(Activations::Impl& kept, double scale, TokenScores* scores, const Tensor& gradient);
  /// All of backward's work. Returns the gradient by the input.
  Tensor backward(const Tensor& d_output, double scale, Activations::Impl& kept, TokenScores* scores,
                  const LayerDone& done);
  /// What is told may be waited for, by finish().
  void remember(Activations::Impl& kept, bool has_loss) const;
  /// Fills `losses` from what the routers told and the head summed, if there is one.
  void finish(Activations::Impl::Told& told, Losses& losses) const;
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
  ExpertExchange* exchange = nullptr;

  Losses passed;  ///< Of the last training pass.
  int begun = 0;  ///< Passes that were not ended: 0 to 2.
  bool is_settled =
      true;           ///< Whether the device has told all of the passes that were begun, those that failed among them.
  Block::Saved last;  ///< Of the layer that was last run, if layers are run again.
  /// The pass whose last layer that is, if nothing was run since: that layer need not be run again. Behind the model's
  /// last layer, backward follows at once.
  const Activations::Impl* is_last_of = nullptr;
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
  is_last_of = nullptr;
  Pass& loaded = kept.pass.emplace(kept.batch.load(tokens, mode, profile));
  loaded.exchange = exchange;
  const Pass& pass = loaded;
  kept.targets = tokens;
  const auto shaped = [&](std::size_t layer) {
    Buffer& buffer = kept.stream[what == Keep::nothing ? 0 : layer];
    return buffer.shaped(pass.positions(), config.hidden_size, device.real());
  };
  Tensor h = shaped(0);
  if (embedding) {
    embedding->load(pass.device, tokens.tokens, h.rows, kept.tokens);
    embedding->forward(pass.device, kept.tokens, h);
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
    std::vector<RoutingCounts>& all = kept.present().counts;
    if (all.size() == moe_layer) all.emplace_back();
    RoutingCounts& counts = all[moe_layer++];
    blocks[i].experts()->router().begin_reading(pass, saved.experts.routing, counts);
    if (tell_to) tell(tell_to, i, saved.experts.routing, counts);
  }
  if (what == Keep::inputs && head) is_last_of = &kept;
  return h;
}

void Transformer::Impl::tell(const RoutingObserver& tell_to, std::size_t layer, const Routing& routing,
                             const RoutingCounts& counts) {
  experts.resize(counts.place.size());
  device.wait();  // For the counts.
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

void Transformer::Impl::loss(Activations::Impl& kept, double scale, TokenScores* scores, const Tensor& gradient) {
  const Pass& pass = *kept.pass;
  const Tensor h = kept.stream[blocks.size()].tensor();
  const Tensor x = normed(pass, h);
  const Tensor dx = da.shaped(x.rows, x.columns, device.real());
  {
    const PartTimer timer(profile, Part::head_and_loss);
    head->forward_backward(pass, x, {kept.targets.labels, kept.targets.loss_weights, kept.targets.loss_divisor},
                           room_for(scores, x.rows), scale, dx, kept.present().head);
  }
  device.clear(gradient.data, static_cast<std::size_t>(gradient.size()) * bytes_of(gradient.type));
  drop(pass, layers.end, DropoutPlace::output, dx);
  final_norm->backward(pass, dx, h, inverse.tensor(), scratch.gains, gradient);
}

void Transformer::Impl::remember(Activations::Impl& kept, bool has_loss) const {
  auto& told = kept.present();
  told.has_loss = has_loss;
  told.layout = kept.batch.layout();
  told.routing = kept.batch.routing();
  told.moment = device.moment();
}

void Transformer::Impl::finish(Activations::Impl::Told& told, Losses& losses) const {
  device.wait_for(told.moment);
  losses.routers.resize(told.counts.size());
  for (std::size_t i = 0; i < told.counts.size(); ++i)
    measure_routing(config, told.layout, told.routing, told.counts[i], losses.routers[i]);
  const Head::Sums sums = told.has_loss ? told.head.sums() : Head::Sums{};
  losses.ce = sums.ce;
  losses.z_loss = config.z_loss_factor * sums.square;
  losses.loss_weight = sums.weight;
  add_up(config, moe_layers, losses);
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

void Transformer::share_experts(ExpertExchange* exchange) {
  impl_->exchange = exchange;
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

Tensor Transformer::Impl::backward(const Tensor& d_output, double scale, Activations::Impl& kept, TokenScores* scores,
                                   const LayerDone& done) {
  Pass& pass = *kept.pass;
  const Tensor gradient = dh.shaped(pass.positions(), config.hidden_size, device.real());
  const auto tell = [&](int layer) {
    if (done) done(layer);
  };
  pass.gradients = gradients;
  if (head) {
    loss(kept, scale, scores, gradient);
    tell(layers.end);
  } else {
    device.run(CopyRows{d_output, gradient}, gradient.rows);
  }
  if (moe_layers > 0)
    pass.scales = {scale * config.router_aux_loss_factor / moe_layers,
                   scale * config.router_z_loss_factor / moe_layers};
  for (std::size_t i = blocks.size(); i-- > 0;) {
    Block::Saved& saved = saved_of(kept, i, keep);
    const Tensor h = kept.stream[i].tensor();
    // What it makes again takes the place of the next layer's input, which is no longer needed.
    if (keep == Keep::inputs && std::exchange(is_last_of, nullptr) != &kept)
      blocks[i].forward(pass, h, saved, scratch, kept.stream[i + 1].tensor());
    blocks[i].backward(pass, h, saved, scratch, gradient);
    tell(layers.first + static_cast<int>(i));
  }
  if (embedding) {
    drop(pass, ParameterSpec::kEmbedding, DropoutPlace::input, gradient);
    embedding->backward(pass, kept.tokens, gradient);
    tell(ParameterSpec::kEmbedding);
  }
  return embedding ? Tensor{} : gradient;
}

Tensor Transformer::backward(const Tensor& d_output, double gradient_scale, Activations& kept, TokenScores* scores,
                             const LayerDone& done) {
  Activations::Impl& of = *kept.impl_;
  const Tensor gradient = impl_->backward(d_output, gradient_scale, of, scores, done);
  impl_->remember(of, impl_->head.has_value());
  impl_->finish(of.present(), impl_->passed);
  return gradient;
}

void Transformer::begin(const TokenBatch& batch, double gradient_scale, TokenScores* scores) {
  Impl& model = *impl_;
  if (model.begun == 2) throw std::logic_error("two passes were begun and not ended");
  if (model.begun == 0 && !model.is_settled) model.device.wait();
  model.is_settled = false;
  const int before = std::exchange(model.begun, 0);  // An exception leaves none.
  Activations::Impl& kept = *own_.impl_;
  kept.turn = before == 0 ? 0 : 1 - kept.turn;
  model.forward(batch, {}, Mode::train, model.keep, kept, model.observer);
  model.backward({}, gradient_scale, kept, scores, {});
  model.remember(kept, true);
  model.begun = before + 1;
}

const Losses& Transformer::end() {
  Impl& model = *impl_;
  if (model.begun == 0) throw std::logic_error("no pass was begun");
  Activations::Impl& kept = *own_.impl_;
  model.finish(kept.told[--model.begun == 1 ? 1 - kept.turn : kept.turn], model.passed);
  model.is_settled = model.begun == 0;
  return model.passed;
}

const Losses& Transformer::forward_backward(const TokenBatch& batch, double gradient_scale, TokenScores* scores) {
  begin(batch, gradient_scale, scores);
  return end();
}

TokenScores Transformer::score(const TokenBatch& batch, Losses* losses) {
  return score(batch, {}, losses);
}

Tensor Transformer::score_forward(const TokenBatch& batch, const Tensor& input) {
  return impl_->forward(batch, input, Mode::eval, Impl::Keep::nothing, *own_.impl_, impl_->observer);
}

TokenScores Transformer::score(const TokenBatch& batch, const Tensor& input, Losses* losses) {
  Impl& model = *impl_;
  Activations::Impl& kept = *own_.impl_;
  const Tensor h = score_forward(batch, input);
  const Tensor x = model.normed(*kept.pass, h);
  TokenScores scores;
  const PartTimer timer(model.profile, Part::head_and_loss);
  model.head->forward(*kept.pass, x, {batch.labels, batch.loss_weights, batch.loss_divisor}, room_for(&scores, x.rows),
                      kept.present().head);
  model.remember(kept, true);
  Losses unwanted;
  model.finish(kept.present(), losses == nullptr ? unwanted : *losses);
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
  model.remember(kept, false);
  Losses losses;
  model.finish(kept.present(), losses);
  trace.routers = std::move(losses.routers);
  Buffer logits(device);
  const Tensor x = model.normed(*kept.pass, h);
  model.head->logits(device, x, logits.shaped(x.rows, model.config.vocab_size, device.real()));
  trace.logits = read(logits.tensor());
  return trace;
}

}  // namespace millrace
