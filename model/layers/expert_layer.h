#pragma once

#include <string>
#include <vector>

#include "model/layers/feed_forward.h"
#include "model/layers/router.h"
#include "model/matrix.h"
#include "model/parameters/parameter.h"
#include "model/profile.h"

namespace millrace {

/// Largest number of slots (rows of all experts together) that any routing of so many tokens can fill. With bf16
/// weights an expert's rows are rounded up to a multiple of 32.
Index most_expert_slots(const Capacity& capacity, Index tokens, Index choices, Index experts, Precision precision);

/// y[t] = sum over the kept experts e of token t:  P[t, e] * FFN_e(x[t]).   x, y: (N, H)
/// Kept pairs are sorted by expert, so each expert works on consecutive rows; with bf16 weights they are padded with
/// zero rows to a multiple of 32, so that products have few different shapes. A token that every expert dropped gets 0.
template <class Scalar>
class ExpertLayer {
 public:
  struct Saved {
    typename Router<Scalar>::Routing routing;
    std::vector<Index> first;  ///< (E + 1): expert e has slots first[e] .. first[e+1] - 1.
    std::vector<Index> slot;   ///< (N * k): slot of each pair, -1 if dropped.
    std::vector<Index> token;  ///< (slots): token of each row; -1: padding, a row of zeros.
    std::vector<Index> next;   ///< (E): the next free slot while sorting.
    Matrix<Scalar> x, y;       ///< (slots, H): input and output of the experts.
    Matrix<Scalar> gate, up, hidden;
    Image<Scalar> x_image;
    Matrix<Bf16> hidden_image;  ///< With bf16 weights only.
  };
  struct Scratch {
    Matrix<Scalar> dy, dx, d_hidden, d_gates, d_logits;
    Image<Scalar> dy_image;
    Matrix<Bf16> gate_image, up_image;  ///< With bf16 weights only.
  };

  /// `prefix`: "model.layers.3.mlp."
  ExpertLayer(const ModelConfig& config, Parameters<Scalar>& parameters, const std::string& prefix);

  void forward(View<const Scalar> x, const BatchLayout& layout, Mode mode, Saved& saved, View<Scalar> y,
               Profile* profile = nullptr) const;
  /// Adds to the gradients of experts and router; overwrites dx and, in saved, what the experts kept.
  void backward(View<const Scalar> dy, View<const Scalar> x, Saved& saved,
                const typename Router<Scalar>::LossScales& scales, Scratch& scratch, View<Scalar> dx,
                Profile* profile = nullptr) const;

 private:
  FeedForwardWeights<Scalar> expert(Index e) const;
  void sort_pairs(Saved& saved) const;
  Index slot_multiple() const;
  Index most_slots(const typename Router<Scalar>::Routing& routing) const;
  FeedForwardSaved<Scalar> rows_of(Saved& saved, Scratch* scratch, Index first, Index count) const;

  int hidden_;
  int intermediate_;
  int experts_;
  Router<Scalar> router_;
  const Parameter<Scalar>* gate_;
  const Parameter<Scalar>* up_;
  const Parameter<Scalar>* down_;
};

extern template class ExpertLayer<float>;
extern template class ExpertLayer<double>;

}  // namespace millrace
