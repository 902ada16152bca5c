#pragma once

#include <cstdint>
#include <vector>

#include "model/device/buffer.h"
#include "model/layers/linear.h"
#include "model/pass/pass.h"

namespace millrace {

/// How many positions have logits in memory at once (everything else is of size (N)).
Index loss_chunk(Index vocabulary, Index positions, const Device& device);

/// The head fused with its loss, one chunk of positions at a time, so that (N, V) logits are never in memory.
///   logits = a W^T;  ce_t = lse_t - logits[t, label_t];  loss = sum_t w_t (ce_t + z lse_t^2) / divisor
/// Positions of weight 0 cost nothing.   a: (N, H) low   W: [V, H]   labels, weights: (N)
class Head {
 public:
  struct Targets {
    const std::int32_t* labels = nullptr;
    const float* weights = nullptr;
    double divisor = 0;  ///< What the loss is divided by; 0: the sum of the weights.
  };
  struct Sums {
    double ce = 0;      ///< Weighted sums, divided.
    double square = 0;  ///< Of lse^2.
    double weight = 0;  ///< Sum of weights.
  };
  /// Per position; null where not wanted. (N), 0 where the weight is 0.
  struct PerPosition {
    float* cross_entropy = nullptr;
    std::uint8_t* correct = nullptr;
  };

  /// What a pass leaves for the host: sums() may be asked for once a moment of the device behind it was waited for.
  class Told {
   public:
    Sums sums();

   private:
    friend class Head;
    std::vector<std::int32_t> chosen_;  ///< Positions of non-zero weight; then -1 up to whole chunks.
    std::vector<double> shares_;        ///< What each counts in the loss.
    std::size_t count_ = 0;             ///< Without the -1.
    double weight_sum_ = 0;             ///< Of the positions.
    Index positions_ = 0;
    PerPosition results_;
    Type type_ = Type::f32;  ///< As the device gives the next two.
    std::vector<double> ce_, lse_;
    std::vector<std::uint8_t> correct_;
  };

  Head(Device& device, const Parameter& weight, double z_loss_factor);
  void set_z_loss_factor(double factor) { z_ = factor; }

  /// The loss alone. Throws std::out_of_range for a label without a row. `targets` may be gone when it returns,
  /// `results` are written by told.sums().
  void forward(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results, Told& told);
  /// The loss, and `scale` times its gradient: added to the head's, written to da (N, H), real.
  void forward_backward(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results,
                        double scale, const Tensor& da, Told& told);
  /// Logits of all positions: (N, V) real.
  void logits(Device& device, const Tensor& a, const Tensor& out) const { linear_.forward(device, a, out); }

 private:
  void run(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results, double scale,
           const Tensor* da, Told& told);
  void gather(const Targets& targets, Index positions, double scale, Device& device, Told& told);
  /// A chunk's gradient of the weights, of several or alone.
  void add_chunk(const Pass& pass, const Tensor& gradient, const Tensor& inputs, bool is_first, bool is_last);

  Index vocabulary_;
  const Parameter* weight_;
  double z_;
  Linear linear_;
  std::vector<std::int32_t> labels_;  ///< Of the positions with loss, and then -1.
  std::vector<double> scaled_;        ///< What each counts in the loss, with the scale.
  Buffer chosen_there_, labels_there_, shares_there_, ce_there_, lse_there_, correct_there_;
  Buffer inputs_, d_inputs_, logits_, gradient_;
  Buffer chunks_;  ///< [V, H] real: the sum of several chunks' gradients, which is added to the others when complete.
};

}  // namespace millrace
