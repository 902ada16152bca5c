#include "model/transformer/generator.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "model/device/read_numbers.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"
#include "model/pass/batch_on_device.h"
#include "model/transformer/sampling.h"

namespace millrace {

struct Generator::Impl {
  Impl(Device& computing, const ModelConfig& model, const Parameters& parameters, int most)
      : device(computing),
        config(model),
        context(most),
        embedding(computing, parameters.named("model.embed_tokens.weight")),
        final_norm(parameters.named("model.norm.weight"), model.rms_norm_eps),
        head(computing, parameters.named("lm_head.weight"), model.z_loss_factor),
        batch(computing, config),
        looked_up(computing),
        saved(computing),
        scratch(computing),
        h(computing),
        x(computing),
        inverse(computing),
        there(computing) {
    batch.reserve(context);
    const Index width = Index{config.num_attention_heads} * config.head_dim;
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
      blocks.emplace_back(config, parameters, layer);
      for (auto* memory : {&keys, &values}) {
        memory->emplace_back(computing);
        memory->back().shaped(context, width, device.low());
      }
    }
  }

  /// Feeds tokens after those fed so far; leaves the last one's logits in `logits`.
  void feed(const std::vector<std::int32_t>& tokens) {
    const auto count = static_cast<Index>(tokens.size());
    if (fed + count > context) {
      throw std::length_error("the text is longer than the generator's context of " + std::to_string(context) +
                              " tokens");
    }
    const Pass pass = batch.load_more(static_cast<int>(count), static_cast<std::int32_t>(fed), nullptr);
    const Tensor stream = h.shaped(count, config.hidden_size, device.real());
    embedding.forward(pass, tokens.data(), looked_up, stream);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      blocks[i].feed(pass, stream, {keys[i].tensor(), values[i].tensor(), fed}, saved, scratch, stream);
    fed += count;
    const Tensor last = stream.row_range(count - 1, 1);
    const Tensor normed = x.shaped(1, config.hidden_size, device.low());
    final_norm.forward(pass, last, normed, inverse.shaped(1, 1, device.real()));
    const Tensor scores = there.shaped(1, config.vocab_size, device.real());
    head.logits(device, normed, scores);
    logits.resize(static_cast<std::size_t>(config.vocab_size));
    device.to_host(logits.data(), scores.data, logits.size() * sizeof(float));
    if (!std::ranges::all_of(logits, [](float number) { return std::isfinite(number); }))
      throw std::domain_error("the model's logits are not finite after " + std::to_string(fed) + " tokens");
  }

  Device& device;
  ModelConfig config;
  int context;
  Embedding embedding;
  std::vector<Block> blocks;
  RmsNorm final_norm;
  Head head;
  BatchOnDevice batch;

  std::vector<Buffer> keys, values;  ///< (context, A) low, a layer each
  Index fed = 0;
  Embedding::Saved looked_up;
  Block::Saved saved;
  Scratch scratch;
  Buffer h, x, inverse, there;
  std::vector<float> logits;
};

Generator::Generator(Device& device, const ModelConfig& config, const Parameters& parameters, int context)
    : impl_(std::make_unique<Impl>(device, config, parameters, context)) {
  if (device.real() != Type::f32) throw std::logic_error("a generator draws from logits in f32");
}

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
