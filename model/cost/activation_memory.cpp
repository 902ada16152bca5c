#include "model/cost/activation_memory.h"

#include <algorithm>
#include <vector>

#include "model/cpu/cpu_attention.h"
#include "model/device/counting_device.h"
#include "model/parameters/parameter.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 62U;

/// Rows of tokens that all have a loss.
struct Rows {
  std::vector<std::int32_t> tokens;
  std::vector<float> weights;
  TokenBatch batch(int rows, int length) {
    const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
    tokens.assign(count, 1);
    weights.assign(count, 1.0F);
    return {rows, length, tokens.data(), tokens.data(), weights.data(), nullptr, nullptr};
  }
};

/// Lists that the host keeps: the layout, the routers' counts, the head's positions with loss.
std::uint64_t host_bytes(const ModelConfig& config, std::uint64_t positions) {
  constexpr std::uint64_t kOfAPosition = 53;
  std::uint64_t moe_layers = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) moe_layers += config.is_moe_layer(layer) ? 1 : 0;
  const auto choices = static_cast<std::uint64_t>(std::min(config.router_topk, config.num_experts));
  return positions * (kOfAPosition + moe_layers * choices * sizeof(std::int32_t));
}

/// Of attention's gradient: in bf16 cuDNN keeps the scores' gradients, in bf16, to add them up in one order, or else
/// the queries' sums in f32; in f32 kernels keep weights and gradients of as many rows at once as take 256 MiB each
/// (model/device/kernel_attention.h).
std::uint64_t attention_bytes_on_card(const ModelConfig& config, const PassShape& shape) {
  const auto length = static_cast<std::uint64_t>(shape.length);
  const auto a_row = static_cast<std::uint64_t>(config.num_attention_heads) * length * length;
  const auto rows = static_cast<std::uint64_t>(shape.rows);
  if (shape.precision == Precision::bf16 && shape.deterministic) return rows * a_row * sizeof(Bf16);
  if (shape.precision == Precision::bf16)
    return rows * length * static_cast<std::uint64_t>(config.num_attention_heads * config.head_dim) * sizeof(float);
  constexpr std::uint64_t kAtOnce = std::uint64_t{1} << 28U;
  const std::uint64_t at_once = std::clamp<std::uint64_t>(kAtOnce / (a_row * sizeof(float)), 1, rows);
  return 2 * at_once * a_row * sizeof(float);
}

}  // namespace

std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape) {
  // Pairs of tokens and choices are counted in 32 bits; no machine holds half as many.
  constexpr double kMostPairs = 0x1p30;
  const double positions = static_cast<double>(shape.rows) * shape.length;
  if (positions * std::min(config.router_topk, config.num_experts) > kMostPairs) return kMost;
  CountingDevice device(shape.precision, !shape.on_card);
  const ParameterMemory parameters(device, config, ParameterMemory::Gradients::allocated);
  const std::uint64_t before = device.bytes();
  Transformer model(device, config, parameters.views(), shape.recompute);
  Rows rows;
  TokenScores scores;
  model.forward_backward(rows.batch(shape.rows, shape.length), 1, &scores);
  if (shape.scored_rows > 0) model.score(rows.batch(shape.scored_rows, shape.length));
  return device.bytes() - before + host_bytes(config, static_cast<std::uint64_t>(positions)) +
         (shape.on_card ? attention_bytes_on_card(config, shape)
                        : static_cast<std::uint64_t>(shape.threads) *
                              attention_scratch_bytes(shape.length, config.head_dim, shape.precision));
}

}  // namespace millrace
