// A training step of the quickstart's model: tokens a second, and the share of oneDNN's own f32 matrix-product rate,
// measured in the same run, that the step's products reach.
#include <algorithm>
#include <chrono>
#include <vector>

#include <benchmark/benchmark.h>
#include <dnnl.h>

#include "model/transformer.h"

namespace millrace {
namespace {

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Multiply-adds a second, times two, of the best of several large products on all threads.
double library_rate() {
  constexpr dnnl_dim_t kSide = 1024;
  std::vector<float> a(kSide * kSide, 0.5F), b(kSide * kSide, 0.25F), c(kSide * kSide);
  double best = 1e9;
  for (int repeat = 0; repeat < 20; ++repeat) {
    best =
        std::min(best, seconds_of([&] {
                   dnnl_sgemm('N', 'N', kSide, kSide, kSide, 1, a.data(), kSide, b.data(), kSide, 0, c.data(), kSide);
                 }));
  }
  return 2.0 * kSide * kSide * kSide / best;
}

/// Floating-point operations of one step's matrix products: forward, and twice that backward (attention: once more).
double step_operations(const ModelConfig& config, const RouterStatistics& router, double tokens, double length) {
  const double hidden = config.hidden_size;
  const double feed_forward = 4 * hidden * config.intermediate_size;
  const double width = config.num_attention_heads * config.head_dim;
  double weights = static_cast<double>(config.vocab_size) * hidden;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    weights += 4 * hidden * width + feed_forward;
    if (config.is_moe_layer(layer)) weights += config.router_topk * (1 - router.dropped) * feed_forward;
  }
  return 6 * weights * tokens + 7 * config.num_hidden_layers * width * length * tokens;
}

void TrainingStep(benchmark::State& state) {
  ModelConfig config = model_preset("openmoe-nano");
  const auto rows = static_cast<int>(state.range(0));
  const auto length = static_cast<int>(state.range(1));
  ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::allocated);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) {
    return static_cast<double>((tensor * 7919 + element * 2654435761U) % 1000003) / 1000003;
  });
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
  std::vector<std::int32_t> tokens(count), labels(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<std::int32_t>(1 + i * 2654435761U % 8000);
    labels[i] = static_cast<std::int32_t>(1 + (i + 1) * 2654435761U % 8000);
  }
  const std::vector<float> weights(count, 1);
  Transformer<float> model(config, memory.views());
  const TokenBatch batch{rows, length, tokens.data(), labels.data(), weights.data(), nullptr, nullptr};
  Losses losses = model.forward_backward(batch, 1.0);
  double best = 1e9;
  for (auto _ : state) {
    best = std::min(best, seconds_of([&] {
                      memory.zero_gradients();
                      losses = model.forward_backward(batch, 1.0);
                    }));
  }
  const double operations = step_operations(config, losses.routers.back(), static_cast<double>(count), length);
  const double library = library_rate();
  state.counters["tokens/s"] = static_cast<double>(count) / best;
  state.counters["GFLOP/s"] = operations / best / 1e9;
  state.counters["oneDNN_GFLOP/s"] = library / 1e9;
  state.counters["share_of_oneDNN"] = operations / best / library;
}

BENCHMARK(TrainingStep)->Args({16, 256})->Args({8, 512})->Args({2, 2048})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
