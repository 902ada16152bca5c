#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"
#include "model/layers/batch_layout.h"
#include "model/layers/router_statistics.h"
#include "model/layers/token_batch.h"
#include "model/matrix.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// How many pairs an expert takes and which tokens share that limit (docs/model.md, "Capacity").
struct Capacity {
  Index group = 0;  ///< Tokens per group; divides the tokens of the call.
  Index pairs = 0;  ///< Most (token, choice) pairs an expert takes of one group.
};
Capacity capacity_of(const ModelConfig& config, Index tokens, Mode mode);

/// Sends each token to its k most likely experts.
///   logits = x W^T;  P = softmax(logits);  the k largest of a row, ties to the lowest expert
/// Padding is routed like any token (its x is zero: experts 0 and 1), unless pads_routed is off: then it is in no
/// queue, no statistic and no loss. Either way it counts in the number of tokens that sets the capacity. An expert's
/// queue takes all first choices in token order, then all second choices, and so on; pairs beyond the capacity are
/// dropped, but count in the statistics. Gates are P itself, not renormalised.   x: (N, H)   W: [E, H]
template <class Scalar>
class Router {
 public:
  /// What the router decided, and what backward needs. Pair (token t, choice c) has index t * k + c.
  struct Routing {
    Index choices = 0;  ///< k
    Capacity capacity;
    Matrix<Scalar> logits;             ///< (N, E)
    Matrix<Scalar> probabilities;      ///< (N, E)
    Matrix<Scalar> log_sum;            ///< (1, N)
    std::vector<std::int32_t> expert;  ///< (N * k)
    std::vector<std::uint8_t> kept;    ///< (N * k)
    std::vector<std::uint8_t> routed;  ///< (N): 0 for padding that is not routed.
    std::vector<Index> group_tokens;   ///< (groups): routed tokens of each.
    Index tokens = 0;                  ///< Routed tokens of all groups.
    Index groups = 0;                  ///< Groups with a routed token: the balance loss is their mean.
    Matrix<double> fraction;           ///< (groups, E): share of the group's routed tokens having e among their k.
    RouterStatistics statistics;
    std::vector<Index> waiting;  ///< (E): length of each queue while filling.
    Matrix<double> probability;  ///< (1, E): a group's sum of probabilities, while it is taken.
  };
  /// What the total loss's gradient adds here: d total / d aux_loss and d total / d z_loss.
  struct LossScales {
    double aux = 0;
    double z = 0;
  };

  Router(const ModelConfig& config, const Parameter<Scalar>& weight) : config_(config), weight_(&weight) {}

  void forward(View<const Scalar> x, const BatchLayout& layout, Mode mode, Routing& routing) const;
  /// d_gates: (N, k), read for kept pairs only. Adds to the weight's gradient and to dx. `scratch` is overwritten.
  void backward(View<const Scalar> d_gates, View<const Scalar> x, const Routing& routing, const LossScales& scales,
                Matrix<Scalar>& scratch, View<Scalar> dx) const;

 private:
  View<Scalar> weight(Scalar* data) const { return {data, config_.num_experts, config_.hidden_size}; }
  void choose(Routing& routing) const;
  void admit(const BatchLayout& layout, Routing& routing) const;
  void queue(Routing& routing) const;
  void measure(Routing& routing) const;
  void count_by_position(const BatchLayout& layout, Routing& routing) const;

  ModelConfig config_;
  const Parameter<Scalar>* weight_;
};

extern template class Router<float>;
extern template class Router<double>;

}  // namespace millrace
