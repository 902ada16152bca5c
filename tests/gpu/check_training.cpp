#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "model/cpu/cpu_device.h"
#include "model/optimizer/adafactor.h"
#include "model/transformer/generator.h"
#include "model/transformer/transformer.h"
#include "tests/gpu/check_models.h"
#include "tests/gpu/check_parts.h"
#include "tests/model/test_support.h"

namespace millrace::test {

ModelConfig small_model() {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  config.hidden_size = 72;
  config.head_dim = 16;
  config.intermediate_size = 40;
  config.num_experts = 5;
  config.vocab_size = 1000;
  config.dropout_rate = 0.1;
  return config;
}

std::unique_ptr<ParameterMemory> drawn(Device& device, const ModelConfig& config) {
  auto memory = std::make_unique<ParameterMemory>(device, config, ParameterMemory::Gradients::allocated);
  memory->initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 7, element); });
  memory->round_values();
  return memory;
}

namespace {

/// What steps of training on one batch gave.
struct Trained {
  std::vector<double> losses;
  std::vector<std::uint8_t> weights;
};

Trained train(Device& device, const ModelConfig& config, const RandomBatch& batch, int steps) {
  const auto memory = drawn(device, config);
  Adafactor optimizer(device, memory->views());
  Transformer model(device, config, memory->views());
  Trained trained;
  for (int step = 0; step < steps; ++step) {
    memory->zero_gradients();
    trained.losses.push_back(model.forward_backward(batch.view(), 1).total);
    optimizer.gradient_norm();
    optimizer.update(0.01, 1);
  }
  for (const Parameter& parameter : memory->views().all) {
    const Tensor& value = parameter.value;
    const std::size_t bytes = static_cast<std::size_t>(value.size()) * bytes_of(value.type);
    const std::size_t at = trained.weights.size();
    trained.weights.resize(at + bytes);
    device.to_host(trained.weights.data() + at, value.data, bytes);
  }
  return trained;
}

}  // namespace

Verdict check_same_bits(const CheckSetup& setup) {
  ModelConfig config = setup.is_card ? model_preset("openmoe-nano") : small_model();
  config.capacity_rule = CapacityRule::flaxformer;
  const RandomBatch batch(4, setup.is_card ? 256 : 40, config.vocab_size, 5);
  const auto once = train(*setup.open({Precision::bf16}), config, batch, 3);
  const auto again = train(*setup.open({Precision::bf16}), config, batch, 3);
  return verdict(once.weights == again.weights && once.losses == again.losses,
                 fmt::format("{} bytes of weights after three steps, twice", once.weights.size()));
}

Verdict check_losses(const CheckSetup& setup) {
  constexpr int kSteps = 20;
  const ModelConfig config = small_model();
  const RandomBatch batch(4, 40, config.vocab_size, 5);
  CpuDevice processor(Precision::f32, ProductSource::loops);
  const Trained expected = train(processor, config, batch, kSteps);
  const Trained found = train(*setup.open({Precision::f32}), config, batch, kSteps);
  double apart = 0;
  for (std::size_t step = 0; step < kSteps; ++step)
    apart = std::max(apart, std::abs(found.losses[step] / expected.losses[step] - 1));
  return verdict(apart < 1e-4,
                 fmt::format("{} steps' losses, from {:.4f} to {:.4f}, apart {:.1e} (1e-4) of the processor's", kSteps,
                             found.losses.front(), found.losses.back(), apart));
}

Verdict check_generation(const CheckSetup& setup) {
  ModelConfig config = small_model();
  const std::unique_ptr<Device> device = setup.open({Precision::f32});
  const auto memory = drawn(*device, config);
  const RandomBatch batch(1, 24, config.vocab_size, 5);
  config.router_capacity_factor_eval = 100;  // Step by step no pair is dropped.
  Generator generator(*device, config, memory->views(), batch.length);
  Transformer roomy(*device, config, memory->views());
  const std::vector<double> whole = roomy.trace(batch.view(), Mode::eval).logits;
  const std::vector<float> last = generator.logits_after(batch.tokens);
  double apart = 0;
  double largest = 0;
  const std::size_t at = whole.size() - last.size();
  for (std::size_t i = 0; i < last.size(); ++i) {
    apart = std::max(apart, std::abs(whole[at + i] - static_cast<double>(last[i])));
    largest = std::max(largest, std::abs(whole[at + i]));
  }
  return verdict(apart < 1e-5 * largest,
                 fmt::format("the cache's logits apart {:.1e} (1e-5) of the full pass's", apart / largest));
}

}  // namespace millrace::test
