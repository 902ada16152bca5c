#include "model/activation_memory.h"

#include <algorithm>

#include "model/attention_head.h"
#include "model/cross_entropy.h"
#include "model/expert_layer.h"
#include "model/parallel.h"
#include "model/router.h"

namespace millrace {

namespace {

constexpr Index kFloat = sizeof(float);
constexpr Index kIndex = sizeof(Index);

/// Counts by the layers' own names; N, H, A, F, E, k, V as in their headers.
class ActivationCount {
 public:
  ActivationCount(const ModelConfig& config, const PassShape& shape)
      : config_(config),
        shape_(shape),
        positions_(Index{shape.rows} * shape.length),
        hidden_(config.hidden_size),
        width_(Index{config.num_attention_heads} * config.head_dim),
        intermediate_(config.intermediate_size),
        experts_(config.num_experts),
        choices_(std::min(config.router_topk, config.num_experts)),
        image_(shape.precision == Precision::bf16 ? Index{sizeof(Bf16)} : 0) {
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) moe_layers_ += config.is_moe_layer(layer) ? 1 : 0;
  }

  Index bytes() const {
    const Index layers = config_.num_hidden_layers;
    Index sum = batch() + Index{4} * positions_ * hidden_ * kFloat;  // h, a, dh, da
    sum += dense_scratch() + head_scratch() + loss();
    if (moe_layers_ > 0) sum += expert_scratch();
    const Index scored_positions = Index{shape_.scored_rows} * shape_.length;
    const Index trained = moe_layers_ > 0 ? expert_saved(Mode::train, positions_) : 0;
    const Index scored = moe_layers_ > 0 && scored_positions > 0 ? expert_saved(Mode::eval, scored_positions) : 0;
    if (shape_.recompute == Recompute::yes) {
      return sum + layers * positions_ * hidden_ * kFloat + dense_saved() + std::max(trained, scored);
    }
    // Without backward all layers use the first one's memory.
    const Index first = config_.is_moe_layer(0) ? std::max(trained, scored) : scored;
    const Index others = moe_layers_ - (config_.is_moe_layer(0) ? 1 : 0);
    return sum + layers * dense_saved() + first + others * trained;
  }

 private:
  /// BatchLayout, Rope, TokenScores.
  Index batch() const {
    const Index layout = positions_ * (2 * Index{sizeof(std::int32_t)} + 1);
    const Index rope = Index{shape_.length} * config_.head_dim * kFloat;
    const Index scores = positions_ * (kFloat + 1);
    return layout + rope + scores;
  }
  /// Block::Saved of a layer, but for its experts.
  Index dense_saved() const {
    const Index around = 4 * hidden_ * kFloat + 2 * hidden_ * image_;
    const Index attention = 4 * width_ * kFloat + config_.num_attention_heads * kFloat + width_ * image_;
    const Index network = 4 * intermediate_ * kFloat + intermediate_ * image_;
    return positions_ * (around + attention + network);
  }
  Index dense_scratch() const {
    const Index norm = range_count(positions_, 64) * hidden_ * kFloat;
    const Index attention = 4 * width_ * kFloat + 3 * width_ * image_;
    return positions_ * ((hidden_ + intermediate_) * kFloat + (hidden_ + 3 * intermediate_) * image_ + attention) +
           norm;
  }
  Index slots(const Capacity& capacity, Index positions) const {
    return most_expert_slots(capacity, positions, choices_, experts_, shape_.precision);
  }
  /// What an expert layer adds to Block::Saved.
  Index expert_saved(Mode mode, Index positions) const {
    const Capacity capacity = capacity_of(config_, positions, mode);
    const Index groups = positions / capacity.group;
    const Index choice = sizeof(std::int32_t) + 1;
    const Index routing = positions * (2 * experts_ * kFloat + kFloat + choices_ * choice + 1) +
                          groups * (kIndex + experts_ * Index{sizeof(double)}) + 2 * Index{shape_.length} * kIndex;
    const Index pairs = positions * choices_ * kIndex;
    const Index slot = kIndex + (2 * hidden_ + 4 * intermediate_) * kFloat + (hidden_ + intermediate_) * image_;
    return 2 * positions * hidden_ * kFloat + routing + pairs + slots(capacity, positions) * slot;
  }
  Index expert_scratch() const {
    const Index slot = (2 * hidden_ + intermediate_) * kFloat + (hidden_ + 3 * intermediate_) * image_;
    return positions_ * (choices_ + experts_) * kFloat +
           slots(capacity_of(config_, positions_, Mode::train), positions_) * slot;
  }
  Index head_scratch() const {
    return Index{shape_.threads} * 2 * std::min<Index>(kQueryBlock, shape_.length) * shape_.length * kFloat;
  }
  /// CrossEntropy.
  Index loss() const {
    const LossChunk chunk = loss_chunk(config_.vocab_size, positions_, shape_.precision);
    const Index vocabulary = config_.vocab_size;
    const Index forward = chunk.forward * (hidden_ * (kFloat + image_) + vocabulary * kFloat);
    const Index backward = chunk.backward * (hidden_ * kFloat + vocabulary * image_);
    return forward + backward + positions_ * (kIndex + 2 * Index{sizeof(double)} + 1);
  }

  const ModelConfig& config_;
  const PassShape& shape_;
  Index positions_, hidden_, width_, intermediate_, experts_, choices_, image_;
  Index moe_layers_ = 0;
};

}  // namespace

std::uint64_t activation_bytes(const ModelConfig& config, const PassShape& shape) {
  return static_cast<std::uint64_t>(ActivationCount(config, shape).bytes());
}

}  // namespace millrace
