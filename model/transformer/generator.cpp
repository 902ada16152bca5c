#include "model/transformer/generator.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "model/array.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"
#include "model/transformer/sampling.h"

namespace millrace {

namespace {

/// Every router sees one block of tokens at a time, with evaluation capacity.
constexpr Mode kMode = Mode::eval;

}  // namespace

struct Generator::Impl {
  struct Cache {
    Matrix<float> k, v;  ///< (context, A)
  };

  Impl(const ModelConfig& model, Parameters<float> views, int most)
      : config(model),
        parameters(std::move(views)),
        context(most),
        embedding(parameters.named("model.embed_tokens.weight")),
        final_norm(parameters.named("model.norm.weight"), model.rms_norm_eps),
        head(parameters.named("lm_head.weight"), model.z_loss_factor),
        rope(model.head_dim, model.rope_theta) {
    rope.reserve(context);
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
      blocks.emplace_back(config, parameters, layer);
      caches.push_back({{context, width()}, {context, width()}});
    }
  }

  Index width() const { return Index{config.num_attention_heads} * config.head_dim; }

  /// Feeds tokens after those fed so far; leaves the last one's logits in `logits`.
  void feed(const std::vector<std::int32_t>& tokens) {
    const auto count = static_cast<Index>(tokens.size());
    if (fed + count > context) {
      throw std::length_error("the text is longer than the generator's context of " + std::to_string(context) +
                              " tokens");
    }
    layout.rows = 1;
    layout.length = static_cast<int>(count);
    layout.position.resize(tokens.size());
    std::iota(layout.position.begin(), layout.position.end(), static_cast<std::int32_t>(fed));
    layout.first_key.assign(tokens.size(), 0);
    layout.real.assign(tokens.size(), 1);
    h.reshape(count, config.hidden_size);
    embedding.forward(tokens.data(), h.view());
    const Block<float>::Context pass{&layout, &rope, kMode, {}};
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      attend(blocks[i], caches[i], count);
      blocks[i].feed(pass, saved, scratch, h.view());
    }
    fed += count;
    const View<const float> last = h.view().row_range(count - 1, 1);
    x.reshape(1, config.hidden_size);
    final_norm.forward(last, nullptr, x.view());
    logits.resize(static_cast<std::size_t>(config.vocab_size));
    head.logits(x.view(), {logits.data(), 1, config.vocab_size});
    if (!array_of(logits.data(), config.vocab_size).isFinite().all())
      throw std::domain_error("the model's logits are not finite after " + std::to_string(fed) + " tokens");
  }

  void attend(const Block<float>& block, Cache& cache, Index count) {
    for (Matrix<float>* matrix : {&q, &result}) matrix->reshape(count, width());
    x.reshape(count, config.hidden_size);
    y.reshape(count, config.hidden_size);
    log_sum.reshape(config.num_attention_heads, count);
    block.attention_norm().forward(h.view(), nullptr, x.view());
    block.attention().project(x.view(), layout.position.data(), rope, q.view(), cache.k.view().row_range(fed, count),
                              cache.v.view().row_range(fed, count));
    const auto fed_so_far = [&](Matrix<float>& all) { return all.view().row_range(0, fed + count); };
    block.attention().attend(1, q.view(), fed_so_far(cache.k), fed_so_far(cache.v), {layout.first_key.data(), fed},
                             result.view(), log_sum.view());
    block.attention().output(result.view(), y.view());
    add<float>(y.view(), h.view());
  }

  ModelConfig config;
  Parameters<float> parameters;
  int context;
  Embedding<float> embedding;
  std::vector<Block<float>> blocks;
  RmsNorm<float> final_norm;
  CrossEntropy<float> head;
  Rope<float> rope;

  std::vector<Cache> caches;
  Index fed = 0;
  BatchLayout layout;
  Block<float>::Saved saved;
  Block<float>::Scratch scratch;
  Matrix<float> h, x, y, q, result, log_sum;
  std::vector<float> logits;
};

Generator::Generator(const ModelConfig& config, const Parameters<float>& parameters, int context)
    : impl_(std::make_unique<Impl>(config, parameters, context)) {}

Generator::~Generator() = default;

void Generator::generate(const std::vector<std::int32_t>& prompt, int count, int allowed_ids,
                         const SamplingOptions& options, const std::function<bool(std::int32_t)>& on_token) {
  if (prompt.empty()) throw std::invalid_argument("an empty prompt; OpenMoE's begin with id 0");
  impl_->fed = 0;
  impl_->feed(prompt);
  const int allowed = std::clamp(allowed_ids, 1, impl_->config.vocab_size);
  for (int drawn = 0; drawn < count; ++drawn) {
    const std::int32_t token = sample(impl_->logits, allowed, options, static_cast<std::uint64_t>(drawn));
    if (!on_token(token) || drawn + 1 == count) return;
    impl_->feed({token});
  }
}

std::vector<float> Generator::logits_after(const std::vector<std::int32_t>& tokens) {
  if (tokens.empty()) throw std::invalid_argument("no tokens to feed");
  impl_->fed = 0;
  // Two halves, so that the second meets the first in the cache.
  const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2);
  if (middle != tokens.begin()) impl_->feed({tokens.begin(), middle});
  for (auto token = middle; token != tokens.end(); ++token) impl_->feed({*token});
  return impl_->logits;
}

}  // namespace millrace
