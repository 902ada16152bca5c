#include "model/cost/activation_memory.h"

#include <algorithm>
#include <vector>

#include "model/cpu/cpu_attention.h"
#include "model/device/buffer.h"
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

std::uint64_t positions_of(const PassShape& shape) {
  return static_cast<std::uint64_t>(shape.rows) * static_cast<std::uint64_t>(shape.length);
}

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

/// Whether more pairs of tokens and choices would be counted than 32 bits hold; no machine holds half as many.
bool has_too_many_pairs(const ModelConfig& config, const PassShape& shape) {
  constexpr double kMostPairs = 0x1p30;
  const double positions = static_cast<double>(shape.rows) * shape.length;
  return positions * std::min(config.router_topk, config.num_experts) > kMostPairs;
}

/// Of attention, outside of what a device is asked for.
std::uint64_t attention_bytes(const ModelConfig& config, const PassShape& shape) {
  return shape.on_card ? attention_bytes_on_card(config, shape)
                       : static_cast<std::uint64_t>(shape.threads) *
                             attention_scratch_bytes(shape.length, config.head_dim, shape.precision);
}

}  // namespace

std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape) {
  if (has_too_many_pairs(config, shape)) return kMost;
  CountingDevice device(shape.precision, !shape.on_card);
  const ParameterMemory parameters(device, config, ParameterMemory::Gradients::allocated);
  const std::uint64_t before = device.bytes();
  Transformer model(device, config, parameters.views(), shape.recompute);
  Rows rows;
  TokenScores scores;
  model.forward_backward(rows.batch(shape.rows, shape.length), 1, &scores);
  if (shape.scored_rows > 0) model.score(rows.batch(shape.scored_rows, shape.length));
  return device.bytes() - before + host_bytes(config, positions_of(shape)) + attention_bytes(config, shape);
}

namespace {

/// What a device is asked for.
std::uint64_t stage_device_bytes(const ModelConfig& config, const PassShape& shape, const LayerRange& layers,
                                 int at_once) {
  CountingDevice device(shape.precision, !shape.on_card);
  const ParameterMemory parameters(device, parameter_specs(config, layers), ParameterMemory::Gradients::allocated);
  const std::uint64_t before = device.bytes();
  Transformer model(device, config, parameters.views(), shape.recompute, layers);
  Rows rows;
  const TokenBatch batch = rows.batch(shape.rows, shape.length);
  const auto positions = static_cast<Index>(positions_of(shape));
  std::vector<Buffer> received;
  const auto from_neighbour = [&] {
    return received.emplace_back(device).shaped(positions, config.hidden_size, device.real());
  };
  std::vector<Activations> kept;
  for (int i = 0; i < at_once; ++i)
    model.forward(batch, layers.has_embedding() ? Tensor{} : from_neighbour(), kept.emplace_back(model));
  const Tensor gradient = layers.has_head(config) ? Tensor{} : from_neighbour();
  for (Activations& one : kept) model.backward(gradient, 1, one);
  return device.bytes() - before;
}

}  // namespace

/// Each further micro-batch takes as much as the second.
std::uint64_t stage_activation_bytes(const ModelConfig& config, const PassShape& shape, const LayerRange& layers,
                                     int at_once) {
  if (has_too_many_pairs(config, shape)) return kMost;
  const std::uint64_t one = stage_device_bytes(config, shape, layers, 1);
  const std::uint64_t further = at_once > 1 ? stage_device_bytes(config, shape, layers, 2) - one : 0;
  const auto count = static_cast<std::uint64_t>(at_once);
  return one + (count - 1) * further + count * host_bytes(config, positions_of(shape)) + attention_bytes(config, shape);
}

}  // namespace millrace
