#include "model/transformer/transformer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "model/device/read_numbers.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"
#include "model/pass/batch_on_device.h"

namespace millrace {

struct Transformer::Impl {
  enum class Keep : std::uint8_t { nothing, inputs, all };

  Impl(Device& computing, const ModelConfig& model, const Parameters& parameters, Recompute again)
      : device(computing),
        config(model),
        embedding(computing, parameters.named("model.embed_tokens.weight")),
        final_norm(parameters.named("model.norm.weight"), model.rms_norm_eps),
        head(computing, parameters.named("lm_head.weight"), model.z_loss_factor),
        recompute(again),
        batch(computing, config),
        scratch(computing),
        a(computing),
        inverse(computing),
        dh(computing),
        da(computing) {
    for (int layer = 0; layer < model.num_hidden_layers; ++layer) blocks.emplace_back(model, parameters, layer);
    for (std::size_t i = 0; i < (recompute == Recompute::yes ? 1 : blocks.size()); ++i) saved.emplace_back(computing);
    for (std::size_t i = 0; i <= blocks.size(); ++i) stream.emplace_back(computing);
    for (const Block& block : blocks) moe_layers += block.experts() ? 1 : 0;
    counts.resize(static_cast<std::size_t>(moe_layers));
  }

  /// Leaves the last norm in `a`. Without backward all layers share the first one's memory; `after` sees each MoE
  /// layer's routing before it is used again.
  template <class After>
  Pass forward(const TokenBatch& tokens, Mode mode, Keep keep, const After& after);
  void backward(Pass pass, double scale);
  /// Fills `losses` from what the routers told and the head summed.
  void finish(Losses& losses, const Head::Sums& sums) const;

  Block::Saved& saved_of(std::size_t layer, Keep keep) { return saved[keep == Keep::all ? layer : 0]; }

  /// Sizes `scores` for the current batch.
  Head::PerPosition room_for(TokenScores* scores) const {
    if (scores == nullptr) return {};
    scores->cross_entropy.resize(static_cast<std::size_t>(batch.layout().size()));
    scores->correct.resize(scores->cross_entropy.size());
    return {scores->cross_entropy.data(), scores->correct.data()};
  }

  Device& device;
  ModelConfig config;
  Embedding embedding;
  std::vector<Block> blocks;
  RmsNorm final_norm;
  Head head;
  Recompute recompute;
  int moe_layers = 0;
  Profile* profile = nullptr;

  BatchOnDevice batch;
  Losses passed;                      ///< Of the last training pass.
  std::vector<RoutingCounts> counts;  ///< Of each MoE layer.
  std::vector<Block::Saved> saved;
  std::vector<Buffer> stream;  ///< (N, H) each: the residual stream before each layer, and behind the last.
  Scratch scratch;
  Buffer a;        ///< (N, H) low: the last norm
  Buffer inverse;  ///< (1, N): of it
  Buffer dh, da;   ///< (N, H) real
};

template <class After>
Pass Transformer::Impl::forward(const TokenBatch& tokens, Mode mode, Keep keep, const After& after) {
  const Pass pass = batch.load(tokens, mode, profile);
  const auto before = [&](std::size_t layer) -> Buffer& { return stream[keep == Keep::nothing ? 0 : layer]; };
  const auto shaped = [&](Buffer& buffer) {
    return buffer.shaped(pass.positions(), config.hidden_size, device.real());
  };
  Tensor h = shaped(before(0));
  embedding.forward(pass, tokens.tokens, h);
  std::size_t moe_layer = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    Block::Saved& memory = saved_of(i, keep);
    const Tensor next = shaped(before(i + 1));
    blocks[i].forward(pass, h, memory, scratch, next);
    h = next;
    if (!blocks[i].experts()) continue;
    blocks[i].experts()->router().read(pass, memory.experts.routing, counts[moe_layer++]);
    after(memory.experts.routing);
  }
  final_norm.forward(pass, h, a.shaped(h.rows, h.columns, device.low()), inverse.shaped(1, h.rows, device.real()));
  return pass;
}

void Transformer::Impl::backward(Pass pass, double scale) {
  const Tensor gradient = dh.shaped(pass.positions(), config.hidden_size, device.real());
  device.clear(gradient.data, static_cast<std::size_t>(gradient.size()) * bytes_of(gradient.type));
  final_norm.backward(pass, da.tensor(), stream[blocks.size()].tensor(), inverse.tensor(), scratch.gains, gradient);
  if (moe_layers > 0) {
    pass.scales = {scale * config.router_aux_loss_factor / moe_layers,
                   scale * config.router_z_loss_factor / moe_layers};
  }
  const Keep keep = recompute == Recompute::yes ? Keep::inputs : Keep::all;
  for (std::size_t i = blocks.size(); i-- > 0;) {
    Block::Saved& memory = saved_of(i, keep);
    const Tensor h = stream[i].tensor();
    // What it makes again takes the place of the next layer's input, which is no longer needed.
    if (recompute == Recompute::yes) blocks[i].forward(pass, h, memory, scratch, stream[i + 1].tensor());
    blocks[i].backward(pass, h, memory, scratch, gradient);
  }
  embedding.backward(pass, gradient);
}

void Transformer::Impl::finish(Losses& losses, const Head::Sums& sums) const {
  losses.routers.resize(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i)
    measure_routing(config, batch.layout(), batch.routing(), counts[i], losses.routers[i]);
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
    : impl_(std::make_unique<Impl>(device, config, parameters, recompute)) {}

Transformer::~Transformer() = default;

void Transformer::measure(Profile* profile) {
  impl_->profile = profile;
}

const Losses& Transformer::forward_backward(const TokenBatch& batch, double gradient_scale, TokenScores* scores) {
  Impl& model = *impl_;
  const auto keep = model.recompute == Recompute::yes ? Impl::Keep::inputs : Impl::Keep::all;
  const Pass pass = model.forward(batch, Mode::train, keep, [](const Routing&) {});
  Head::Sums sums;
  {
    const PartTimer timer(model.profile, Part::head_and_loss);
    const Tensor a = model.a.tensor();
    const Tensor da = model.da.shaped(a.rows, a.columns, model.device.real());
    sums = model.head.forward_backward(pass, a, {batch.labels, batch.loss_weights}, model.room_for(scores),
                                       gradient_scale, da);
  }
  model.backward(pass, gradient_scale);
  model.device.wait();
  model.finish(model.passed, sums);
  return model.passed;
}

TokenScores Transformer::score(const TokenBatch& batch, Losses* losses) {
  Impl& model = *impl_;
  const Pass pass = model.forward(batch, Mode::eval, Impl::Keep::nothing, [](const Routing&) {});
  TokenScores scores;
  const PartTimer timer(model.profile, Part::head_and_loss);
  const Head::PerPosition results = model.room_for(&scores);
  const Head::Sums sums = model.head.forward(pass, model.a.tensor(), {batch.labels, batch.loss_weights}, results);
  if (losses != nullptr) model.finish(*losses, sums);
  return scores;
}

Trace Transformer::trace(const TokenBatch& batch, Mode mode) {
  Impl& model = *impl_;
  Device& device = model.device;
  Trace trace;
  const auto read = [&](const Tensor& there) {
    std::vector<double> numbers(static_cast<std::size_t>(there.size()));
    read_numbers(device, there, numbers);
    return numbers;
  };
  model.forward(batch, mode, Impl::Keep::nothing, [&](const Routing& routing) {
    const Tensor logits = routing.logits.tensor();
    trace.router_logits.push_back(read(logits));
    const std::vector<std::int32_t>& place = model.counts[trace.kept.size()].place;
    std::vector<std::int32_t> expert(place.size());
    device.to_host(expert.data(), routing.expert.tensor().data, expert.size() * sizeof(std::int32_t));
    std::vector<std::uint8_t> kept(static_cast<std::size_t>(logits.size()), 0);
    const auto choices = static_cast<std::size_t>(model.batch.routing().choices);
    for (std::size_t pair = 0; pair < expert.size(); ++pair) {
      const std::size_t token = pair / choices;
      kept[token * static_cast<std::size_t>(logits.columns) + static_cast<std::size_t>(expert[pair])] =
          place[pair] >= 0;
    }
    trace.kept.push_back(std::move(kept));
  });
  Losses losses;
  model.finish(losses, {});
  trace.routers = std::move(losses.routers);
  Buffer logits(device);
  const Tensor a = model.a.tensor();
  model.head.logits(device, a, logits.shaped(a.rows, model.config.vocab_size, device.real()));
  trace.logits = read(logits.tensor());
  return trace;
}

}  // namespace millrace
