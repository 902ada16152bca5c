#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model_config.h"
#include "model/parameter.h"
#include "model/profile.h"

namespace millrace {

/// B rows of T positions; views, row-major (B, T). Not owned. Without segment ids a trailing run of
/// token 0 in a row is padding.
struct TokenBatch {
  int rows = 0;    ///< B
  int length = 0;  ///< T
  const std::int32_t* tokens = nullptr;
  const std::int32_t* labels = nullptr;  ///< May be null where no loss is asked for.
  const float* loss_weights = nullptr;   ///< Likewise.
  /// Null: one segment a row. Attention stays within a segment; 0 is padding; equal ids of a row stand together.
  const std::int32_t* segment_ids = nullptr;
  const std::int32_t* positions = nullptr;  ///< Null: 0 .. T-1.
};

/// What one MoE layer's router did with one micro-batch.
struct RouterStatistics {
  double aux_loss = 0;       ///< Load-balance loss, unweighted; balanced value = k (openmoe-facts 4.4).
  double z_loss = 0;         ///< Unweighted.
  double entropy = 0;        ///< Mean over tokens, nats.
  double dropped = 0;        ///< Share of (token, choice) pairs over capacity.
  std::int64_t kept = 0;     ///< Pairs within capacity.
  std::vector<double> load;  ///< (E) share of (token, choice) pairs per expert, before capacity.
  /// (T) (token, choice) pairs of each position in the row, and those of them over capacity: counts over the rows of
  /// the micro-batch. Without padding, whose places in the row say nothing of text.
  std::vector<std::int64_t> pairs_at, dropped_at;
};

/// Losses of one micro-batch: means over loss weight (ce, z) and over MoE layers (aux, router z); unweighted parts.
struct Losses {
  double total = 0;  ///< ce + z_loss + router_aux_loss_factor * aux_loss + router_z_loss_factor * router_z_loss
  double ce = 0;
  double z_loss = 0;  ///< z_loss_factor * mean(lse^2), as it enters the total.
  double aux_loss = 0;
  double router_z_loss = 0;
  double loss_weight = 0;                 ///< Sum of loss weights.
  std::vector<RouterStatistics> routers;  ///< Per MoE layer, in order.
};

/// Per-position results of an evaluation.
struct TokenScores {
  std::vector<float> cross_entropy;   ///< (B*T) nats, 0 where the loss weight is 0.
  std::vector<std::uint8_t> correct;  ///< (B*T) 1 where the label's logit is larger than all others.
};

/// Whether backward finds what the layers kept, or only each layer's input, and runs its forward pass again: the same
/// bits, for one layer's activations in memory and a third more time.
enum class Recompute : bool { no, yes };

enum class Mode : std::uint8_t { train, eval };  ///< Chooses the capacity factor.

/// Everything the forward pass computes that the checks look at. (rows, columns) row-major.
template <class Scalar>
struct Trace {
  std::vector<Scalar> logits;                      ///< (B*T, V)
  std::vector<std::vector<Scalar>> router_logits;  ///< Per MoE layer (B*T, E)
  std::vector<std::vector<std::uint8_t>> kept;     ///< Per MoE layer (B*T, E)
  std::vector<RouterStatistics> routers;           ///< Per MoE layer
};

/// OpenMoE (arXiv 2402.01739) as coded, forward and backward: openmoe-facts 3.2.
///   h = Embed[ids]
///   h += Attention(norm(h));  h += FFN(norm(h))                                  dense layer
///   h += Attention(norm(h));  h += MoE(norm(h));  h += SharedFFN(own norm(h))    MoE layer
///   logits = norm(h) W_head
/// Holds activations between forward and backward; one object, one calling thread (it uses OpenMP inside).
/// Same bits for any number of OpenMP threads.
template <class Scalar>
class Transformer {
 public:
  /// `parameters` must outlive the model.
  Transformer(const ModelConfig& config, Parameters<Scalar>& parameters, Recompute recompute = Recompute::no);
  ~Transformer();

  /// Loss and gradients of one micro-batch; `gradient_scale` * gradient is added to every parameter's grad.
  /// `scores`, if given, receives each position's loss. What is returned lasts until the next pass. Once a batch of the
  /// same shape has passed, none allocates memory, but for oneDNN's own. All passes throw Stopped once a stop is
  /// requested (stop.h): gradients and scores are worth nothing then.
  const Losses& forward_backward(const TokenBatch& batch, double gradient_scale, TokenScores* scores = nullptr);
  /// Loss per position, eval capacity, no gradients.
  TokenScores score(const TokenBatch& batch, Losses* losses = nullptr);
  /// Logits and routing of a batch.
  Trace<Scalar> trace(const TokenBatch& batch, Mode mode);

  /// From now on adds each pass's seconds to `profile`, which must outlive the passes; null: no more.
  void measure(Profile* profile);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class Transformer<float>;
extern template class Transformer<double>;

}  // namespace millrace
