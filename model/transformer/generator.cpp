#include "model/transformer/generator.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "model/device/read_numbers.h"
#include "model/layers/block.h"
#include "model/layers/embedding.h"
#include "model/layers/head.h"
#include "model/pass/batch_on_device.h"
#include "model/transformer/sampling.h"

namespace millrace {
namespace {

/// Whether all numbers are finite: in blocks without a branch, which a compiler makes vectors of.
bool are_finite(const std::vector<float>& numbers) {
  constexpr std::size_t kBlock = 1024;
  for (std::size_t begin = 0; begin < numbers.size(); begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, numbers.size());
    std::uint32_t others = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const auto exponent = std::bit_cast<std::uint32_t>(numbers[i]) & 0x7f800000U;
      others |= exponent == 0x7f800000U ? 1U : 0U;
    }
    if (others != 0) return false;
  }
  return true;
}

}  // namespace

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
      caches.emplace_back(computing).shaped(context, 2 * width, device.low());
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
    embedding.load(device, tokens.data(), count, looked_up);
    if (count > 1) {
      recording.reset();  // Its memory may be another's by then.
      is_shaped = false;
      compute(pass);
    } else if (!is_shaped) {
      compute(pass);
      is_shaped = true;
    } else {
      if (!recording) recording = device.record([this, pass] { compute(pass); });
      recording->play();
    }
    fed += count;
    logits.resize(static_cast<std::size_t>(config.vocab_size));
    device.to_host(logits.data(), there.tensor().data, logits.size() * sizeof(float));
    if (!are_finite(logits))
      throw std::domain_error("the model's logits are not finite after " + std::to_string(fed) + " tokens");
  }

  /// The last position's logits, of the tokens that were loaded. For one token it is always the same work.
  void compute(const Pass& pass) {
    const Index count = pass.positions();
    const Tensor stream = h.shaped(count, config.hidden_size, device.real());
    embedding.forward(device, looked_up, stream);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      blocks[i].feed(pass, stream, {caches[i].tensor(), fed}, saved, scratch, stream);
    const Tensor last = stream.row_range(count - 1, 1);
    const Tensor normed = x.shaped(1, config.hidden_size, device.low());
    final_norm.forward(pass, last, normed, inverse.shaped(1, 1, device.real()));
    head.logits(device, normed, there.shaped(1, config.vocab_size, device.real()));
  }

  Device& device;
  ModelConfig config;
  int context;
  Embedding embedding;
  std::vector<Block> blocks;
  RmsNorm final_norm;
  Head head;
  BatchOnDevice batch;

  std::vector<Buffer> caches;  ///< KeyValueCache's rows, a layer each.
  Index fed = 0;
  Embedding::Saved looked_up;
  Block::Saved saved;
  Scratch scratch;
  Buffer h, x, inverse, there;
  std::vector<float> logits;
  bool is_shaped = false;                ///< All memory that a single token takes is there.
  std::unique_ptr<Recording> recording;  ///< Of a single token's work. Behind the memory that it uses.
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
