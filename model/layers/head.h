#pragma once

#include <cstdint>
#include <vector>

#include "model/matrix.h"
#include "model/ops/gemm.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// How many positions have logits in memory at once, in forward and in backward (everything else is of size (N)).
struct LossChunk {
  Index forward = 0;
  Index backward = 0;
};
LossChunk loss_chunk(Index vocabulary, Index positions, Precision precision);

/// The head fused with its loss, one chunk of positions at a time, so that (N, V) logits are never in memory.
///   logits = a W^T;  ce_t = lse_t - logits[t, label_t];  loss = sum_t w_t (ce_t + z lse_t^2) / sum_t w_t
/// Positions of weight 0 cost nothing.   a: (N, H)   W: [V, H]   labels, weights: (N)
template <class Scalar>
class CrossEntropy {
 public:
  struct Targets {
    const std::int32_t* labels = nullptr;
    const float* weights = nullptr;
  };
  struct Sums {
    double ce = 0;      ///< Weighted means.
    double square = 0;  ///< Of lse^2.
    double weight = 0;  ///< Sum of weights.
  };
  /// Per position; null where not wanted. (N), 0 where the weight is 0.
  struct PerPosition {
    float* cross_entropy = nullptr;
    std::uint8_t* correct = nullptr;
  };

  CrossEntropy(const Parameter<Scalar>& head, double z_loss_factor) : head_(&head), z_(z_loss_factor) {}

  /// The loss alone. Throws std::out_of_range for a label without a row.
  Sums forward(View<const Scalar> a, const Targets& targets, const PerPosition& results);
  /// The loss, and `scale` times its gradient: added to the head's, written to da.
  Sums forward_backward(View<const Scalar> a, const Targets& targets, const PerPosition& results, double scale,
                        View<Scalar> da);
  /// Logits of all positions: (N, V).
  void logits(View<const Scalar> a, View<Scalar> out) const;

 private:
  View<Scalar> weight(Scalar* data) const { return {data, head_->spec.shape[0], head_->spec.shape[1]}; }
  double gather(const Targets& targets, Index positions);
  Sums summed(const Targets& targets, double weight, Index positions, const PerPosition& results) const;
  LossChunk chunk(Index positions) const { return loss_chunk(head_->spec.shape[0], positions, head_->precision()); }
  Index chunk_rows() const;
  /// Returns the chunk's inputs. With a bf16 head, zero rows pad their number, for few different shapes.
  Factor<Scalar> load_chunk(View<const Scalar> a, Index first, Index count);

  const Parameter<Scalar>* head_;
  double z_;
  std::vector<Index> chosen_;  ///< Positions of non-zero weight.
  Matrix<Scalar> inputs_;      ///< (chunk, H)
  Matrix<Scalar> d_inputs_;    ///< (chunk, H)
  Matrix<Scalar> logits_;      ///< (chunk, V), then their gradient.
  Image<Scalar> inputs_image_;
  Image<Scalar> logits_image_;
  std::vector<double> ce_, lse_;  ///< Of the chosen positions.
  std::vector<std::uint8_t> correct_;
};

extern template class CrossEntropy<float>;
extern template class CrossEntropy<double>;

}  // namespace millrace
