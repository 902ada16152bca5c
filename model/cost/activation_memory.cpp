#include "model/cost/activation_memory.h"

#include <algorithm>

#include "model/layers/expert_layer.h"
#include "model/layers/head.h"
#include "model/layers/router.h"
#include "model/ops/attention.h"
#include "model/parallel.h"

namespace millrace {

namespace {

// In floating point: absurdly large sizes give a large number, not an overflow.
constexpr double kFloat = sizeof(float);
constexpr double kIndex = sizeof(Index);

/// Uses the names of the layers' members; N, H, A, F, E, k, V as in their headers.
class ActivationCount {
 public:
  ActivationCount(const ModelConfig& config, const PassShape& shape)
      : config_(config),
        shape_(shape),
        positions_(Index{shape.rows} * shape.length),
        heads_(config.num_attention_heads),
        hidden_(config.hidden_size),
        width_(heads_ * config.head_dim),
        intermediate_(config.intermediate_size),
        experts_(config.num_experts),
        choices_(std::min(config.router_topk, config.num_experts)),
        image_(shape.precision == Precision::bf16 ? sizeof(Bf16) : 0) {
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) moe_layers_ += config.is_moe_layer(layer) ? 1 : 0;
  }

  double bytes() const {
    const double layers = config_.num_hidden_layers;
    const auto positions = static_cast<double>(positions_);
    double sum = batch() + 4 * positions * hidden_ * kFloat;  // h, a, dh, da
    sum += dense_scratch() + head_scratch() + loss();
    if (moe_layers_ > 0) sum += expert_scratch();
    const Index scored_positions = Index{shape_.scored_rows} * shape_.length;
    const double trained = moe_layers_ > 0 ? expert_saved(Mode::train, positions_) : 0;
    const double scored = moe_layers_ > 0 && scored_positions > 0 ? expert_saved(Mode::eval, scored_positions) : 0;
    if (shape_.recompute == Recompute::yes)
      return sum + layers * positions * hidden_ * kFloat + dense_saved() + std::max(trained, scored);
    // Without backward all layers use the first one's memory.
    const double first = config_.is_moe_layer(0) ? std::max(trained, scored) : scored;
    const double others = moe_layers_ - (config_.is_moe_layer(0) ? 1 : 0);
    return sum + layers * dense_saved() + first + others * trained;
  }

 private:
  /// BatchLayout, Rope, TokenScores.
  double batch() const {
    const auto positions = static_cast<double>(positions_);
    const double layout = positions * (2 * sizeof(std::int32_t) + 1);
    const double rope = kFloat * shape_.length * config_.head_dim;
    return layout + rope + positions * (kFloat + 1);
  }
  /// Block::Saved of a layer, but for its experts.
  double dense_saved() const {
    const double around = 4 * hidden_ * kFloat + 2 * hidden_ * image_;
    const double attention = 4 * width_ * kFloat + heads_ * kFloat + width_ * image_;
    const double network = 4 * intermediate_ * kFloat + intermediate_ * image_;
    return static_cast<double>(positions_) * (around + attention + network);
  }
  double dense_scratch() const {
    const double norm = static_cast<double>(range_count(positions_, 64)) * hidden_ * kFloat;
    const double attention = 4 * width_ * kFloat + 3 * width_ * image_;
    const double network = (hidden_ + intermediate_) * kFloat + (hidden_ + 3 * intermediate_) * image_;
    return static_cast<double>(positions_) * (network + attention) + norm;
  }
  double slots(const Capacity& capacity, Index positions) const {
    return static_cast<double>(most_expert_slots(capacity, positions, choices_, config_.num_experts, shape_.precision));
  }
  /// What an expert layer adds to Block::Saved.
  double expert_saved(Mode mode, Index positions) const {
    const Capacity capacity = capacity_of(config_, positions, mode);
    const auto tokens = static_cast<double>(positions);
    const Index whole_groups = positions / capacity.group;
    const auto groups = static_cast<double>(whole_groups);
    const auto choices = static_cast<double>(choices_);
    const double choice = sizeof(std::int32_t) + 1;
    const double routing = tokens * (2 * experts_ * kFloat + kFloat + choices * choice + 1) +
                           groups * (kIndex + experts_ * sizeof(double)) + 2.0 * shape_.length * kIndex;
    const double pairs = tokens * choices * kIndex;
    const double slot = kIndex + (2 * hidden_ + 4 * intermediate_) * kFloat + (hidden_ + intermediate_) * image_;
    return 2 * tokens * hidden_ * kFloat + routing + pairs + slots(capacity, positions) * slot;
  }
  double expert_scratch() const {
    const double slot = (2 * hidden_ + intermediate_) * kFloat + (hidden_ + 3 * intermediate_) * image_;
    return static_cast<double>(positions_) * (static_cast<double>(choices_) + experts_) * kFloat +
           slots(capacity_of(config_, positions_, Mode::train), positions_) * slot;
  }
  double head_scratch() const {
    return 2.0 * shape_.threads * static_cast<double>(std::min<Index>(kQueryBlock, shape_.length)) * shape_.length *
           kFloat;
  }
  /// CrossEntropy.
  double loss() const {
    const LossChunk chunk = loss_chunk(config_.vocab_size, positions_, shape_.precision);
    const double vocabulary = config_.vocab_size;
    const double forward = static_cast<double>(chunk.forward) * (hidden_ * (kFloat + image_) + vocabulary * kFloat);
    const double backward = static_cast<double>(chunk.backward) * (hidden_ * kFloat + vocabulary * image_);
    return forward + backward + static_cast<double>(positions_) * (kIndex + 2 * sizeof(double) + 1);
  }

  const ModelConfig& config_;
  const PassShape& shape_;
  Index positions_;
  double heads_, hidden_, width_, intermediate_, experts_;
  Index choices_;
  double image_;
  double moe_layers_ = 0;
};

}  // namespace

std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape) {
  constexpr double kMost = 0x1p62;
  return static_cast<std::uint64_t>(std::min(ActivationCount(config, shape).bytes(), kMost));
}

}  // namespace millrace
