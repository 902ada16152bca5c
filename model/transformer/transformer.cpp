#include "model/transformer/transformer.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "model/layers/batch_layout.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"

namespace millrace {

template <class Scalar>
struct Transformer<Scalar>::Impl {
  enum class Keep : std::uint8_t { nothing, inputs, all };

  Impl(const ModelConfig& model, Parameters<Scalar>& parameters, Recompute again)
      : config(model),
        embedding(parameters.named("model.embed_tokens.weight")),
        final_norm(parameters.named("model.norm.weight"), model.rms_norm_eps),
        loss(parameters.named("lm_head.weight"), model.z_loss_factor),
        rope(model.head_dim, model.rope_theta),
        recompute(again) {
    for (int layer = 0; layer < model.num_hidden_layers; ++layer) blocks.emplace_back(model, parameters, layer);
    saved.resize(recompute == Recompute::yes ? 1 : blocks.size());
    inputs.resize(recompute == Recompute::yes ? blocks.size() : 0);
    for (const Block<Scalar>& block : blocks) moe_layers += block.has_experts() ? 1 : 0;
  }

  /// Without backward all layers share the first layer's memory; `after` sees each layer's before it is used again.
  template <class After>
  void forward(const TokenBatch& batch, Mode mode, Keep keep, const After& after);
  void backward(const TokenBatch& batch, double scale);
  /// Adds the routers' part and the total to `losses`, whose routers are filled.
  void finish(Losses& losses, const typename CrossEntropy<Scalar>::Sums& sums) const;

  /// Sizes `scores` for the current batch.
  typename CrossEntropy<Scalar>::PerPosition room_for(TokenScores* scores) const {
    if (scores == nullptr) return {};
    scores->cross_entropy.resize(static_cast<std::size_t>(layout.size()));
    scores->correct.resize(scores->cross_entropy.size());
    return {scores->cross_entropy.data(), scores->correct.data()};
  }

  ModelConfig config;
  Embedding<Scalar> embedding;
  std::vector<Block<Scalar>> blocks;
  RmsNorm<Scalar> final_norm;
  CrossEntropy<Scalar> loss;
  Rope<Scalar> rope;
  Recompute recompute;
  int moe_layers = 0;
  Profile* profile = nullptr;

  BatchLayout layout;
  Losses passed;  ///< Of the last training pass.
  std::vector<typename Block<Scalar>::Saved> saved;
  std::vector<Matrix<Scalar>> inputs;  ///< (N, H) a layer, for recomputing.
  typename Block<Scalar>::Scratch scratch;
  Matrix<Scalar> h;   ///< (N, H): the residual stream
  Matrix<Scalar> a;   ///< (N, H): its last norm
  Matrix<Scalar> dh;  ///< (N, H)
  Matrix<Scalar> da;  ///< (N, H)
};

template <class Scalar>
template <class After>
void Transformer<Scalar>::Impl::forward(const TokenBatch& batch, Mode mode, Keep keep, const After& after) {
  describe(batch, layout);
  std::int32_t last = 0;
  for (const std::int32_t position : layout.position) {
    if (position < 0) throw std::out_of_range("a negative position in a micro-batch");
    last = std::max(last, position);
  }
  rope.reserve(last + 1);
  h.reshape(layout.size(), config.hidden_size);
  a.reshape(layout.size(), config.hidden_size);
  embedding.forward(batch.tokens, h.view());
  const typename Block<Scalar>::Context context{&layout, &rope, mode, {}, profile};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    typename Block<Scalar>::Saved& memory = saved[keep == Keep::all ? i : 0];
    if (keep == Keep::inputs) {
      inputs[i].reshape(h.rows(), h.columns());
      std::copy_n(h.data(), h.rows() * h.columns(), inputs[i].data());
    }
    blocks[i].forward(context, memory, scratch, h.view());
    if (blocks[i].has_experts()) after(memory.experts.routing);
  }
  final_norm.forward(h.view(), layout.real.data(), a.view());
}

template <class Scalar>
void Transformer<Scalar>::Impl::backward(const TokenBatch& batch, double scale) {
  dh.reshape(h.rows(), h.columns());
  dh.fill(0);
  final_norm.backward(da.view(), h.view(), layout.real.data(), scratch.norm, dh.view());
  typename Block<Scalar>::Context context{&layout, &rope, Mode::train, {}, profile};
  if (moe_layers > 0) {
    context.scales = {scale * config.router_aux_loss_factor / moe_layers,
                      scale * config.router_z_loss_factor / moe_layers};
  }
  for (std::size_t i = blocks.size(); i-- > 0;) {
    typename Block<Scalar>::Saved& memory = saved[recompute == Recompute::yes ? 0 : i];
    if (recompute == Recompute::yes) blocks[i].forward(context, memory, scratch, inputs[i].view());
    blocks[i].backward(context, memory, scratch, dh.view());
  }
  embedding.backward(batch.tokens, dh.view());
}

template <class Scalar>
void Transformer<Scalar>::Impl::finish(Losses& losses, const typename CrossEntropy<Scalar>::Sums& sums) const {
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

template <class Scalar>
Transformer<Scalar>::Transformer(const ModelConfig& config, Parameters<Scalar>& parameters, Recompute recompute)
    : impl_(std::make_unique<Impl>(config, parameters, recompute)) {}

template <class Scalar>
Transformer<Scalar>::~Transformer() = default;

template <class Scalar>
void Transformer<Scalar>::measure(Profile* profile) {
  impl_->profile = profile;
}

template <class Scalar>
const Losses& Transformer<Scalar>::forward_backward(const TokenBatch& batch, double gradient_scale,
                                                    TokenScores* scores) {
  Impl& model = *impl_;
  Losses& losses = model.passed;
  losses.routers.resize(static_cast<std::size_t>(model.moe_layers));
  auto statistics = losses.routers.begin();
  model.forward(batch, Mode::train, model.recompute == Recompute::yes ? Impl::Keep::inputs : Impl::Keep::all,
                [&](const auto& routing) { *statistics++ = routing.statistics; });
  model.da.reshape(model.a.rows(), model.a.columns());
  std::optional<PartTimer> timer(std::in_place, model.profile, Part::head_and_loss);
  const auto sums = model.loss.forward_backward(model.a.view(), {batch.labels, batch.loss_weights},
                                                model.room_for(scores), gradient_scale, model.da.view());
  timer.reset();
  model.backward(batch, gradient_scale);
  model.finish(losses, sums);
  return losses;
}

template <class Scalar>
TokenScores Transformer<Scalar>::score(const TokenBatch& batch, Losses* losses) {
  Impl& model = *impl_;
  Losses result;
  model.forward(batch, Mode::eval, Impl::Keep::nothing,
                [&](const auto& routing) { result.routers.push_back(routing.statistics); });
  TokenScores scores;
  const auto sums = model.loss.forward(model.a.view(), {batch.labels, batch.loss_weights}, model.room_for(&scores));
  model.finish(result, sums);
  if (losses != nullptr) *losses = std::move(result);
  return scores;
}

template <class Scalar>
Trace<Scalar> Transformer<Scalar>::trace(const TokenBatch& batch, Mode mode) {
  Impl& model = *impl_;
  Trace<Scalar> trace;
  model.forward(batch, mode, Impl::Keep::nothing, [&](const typename Router<Scalar>::Routing& routing) {
    const Index tokens = routing.logits.rows();
    const Index experts = routing.logits.columns();
    trace.router_logits.emplace_back(routing.logits.data(), routing.logits.data() + tokens * experts);
    std::vector<std::uint8_t> kept(static_cast<std::size_t>(tokens * experts), 0);
    for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
      const Index token = static_cast<Index>(pair) / routing.choices;
      kept[static_cast<std::size_t>(token * experts + routing.expert[pair])] = routing.kept[pair];
    }
    trace.kept.push_back(std::move(kept));
    trace.routers.push_back(routing.statistics);
  });
  trace.logits.resize(static_cast<std::size_t>(model.layout.size() * model.config.vocab_size));
  model.loss.logits(model.a.view(), {trace.logits.data(), model.layout.size(), model.config.vocab_size});
  return trace;
}

template class Transformer<float>;
template class Transformer<double>;

}  // namespace millrace
