#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "model/cost/flops.h"
#include "model/cost/peak_flops.h"
#include "model/optimizer/adafactor.h"
#include "model/transformer/transformer.h"
#include "tests/gpu/check_parts.h"
#include "tests/model/test_support.h"

namespace millrace::test {
namespace {

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Verdict measure_products(const CheckSetup& setup, Precision precision) {
  const std::unique_ptr<Device> device = setup.open(precision);
  const Index side = setup.is_card ? 8192 : 256;
  return {Verdict::Kind::pass, fmt::format("{:.1f} TFLOP/s at {}^3", product_rate(*device, side) / 1e12, side), {}};
}

Verdict measure_training(const CheckSetup& setup, int rows) {
  const std::unique_ptr<Device> device = setup.open(Precision::bf16);
  ModelConfig config = model_preset(setup.is_card ? "openmoe-base" : "openmoe-nano");
  config.capacity_rule = CapacityRule::flaxformer;
  const int length = setup.is_card ? 2048 : 64;
  const double limit = product_rate(*device, setup.is_card ? 8192 : 256);
  ParameterMemory memory(*device, config, ParameterMemory::Gradients::allocated);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 7, element); });
  memory.round_values();
  Adafactor optimizer(*device, memory.views());
  Transformer model(*device, config, memory.views());
  const RandomBatch batch(rows, length, config.vocab_size, 5);
  Losses losses;
  double forward_backward = 1e9;
  double update = 1e9;
  for (int step = 0; step < (setup.is_card ? 6 : 2); ++step) {
    memory.zero_gradients();
    device->wait();
    forward_backward =
        std::min(forward_backward, seconds_of([&] { losses = model.forward_backward(batch.view(), 1); }));
    update = std::min(update, seconds_of([&] {
                        optimizer.gradient_norm();
                        optimizer.update(1e-3, 1);
                        device->wait();
                      }));
  }
  Profile profile;
  profile.settle = [&] { device->wait(); };
  model.measure(&profile);
  model.forward_backward(batch.view(), 1);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kPartNames.size(); ++i)
    if (profile.seconds[i] > 0)
      lines.push_back(fmt::format("{:14} {:8.2f} ms", kPartNames[i], 1e3 * profile.seconds[i]));
  const double tokens = static_cast<double>(rows) * length;
  ProductWork work{tokens, tokens, tokens * (length + 1) / 2, 0};
  for (const RouterStatistics& router : losses.routers) work.expert_pairs += static_cast<double>(router.kept);
  const double rate = product_operations(config, work) / forward_backward;
  return {
      Verdict::Kind::pass,
      fmt::format("{} rows of {}: {:.0f} tokens/s forward and backward, {:.1f} TFLOP/s, {:.0f} % of the products'; "
                  "update {:.1f} ms; loss {:.3f}",
                  rows, length, tokens / forward_backward, rate / 1e12, 100 * rate / limit, 1e3 * update, losses.total),
      lines};
}

}  // namespace millrace::test
