#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/config/model_config.h"
#include "model/layers/router_statistics.h"
#include "model/parameters/parameter.h"
#include "model/pass/expert_exchange.h"
#include "model/pass/pass.h"
#include "model/pass/token_batch.h"
#include "model/profile.h"
#include "model/transformer/activations.h"
#include "model/transformer/routing_observer.h"

namespace millrace {

/// Losses of one micro-batch: sums over loss weight, divided (ce, z; TokenBatch::loss_divisor), means over the model's
/// MoE layers (aux, router z); unweighted parts. Of some layers: their part.
struct Losses {
  double total = 0;  ///< ce + z_loss + router_aux_loss_factor * aux_loss + router_z_loss_factor * router_z_loss
  double ce = 0;
  double z_loss = 0;  ///< z_loss_factor * mean(lse^2), as it enters the total.
  double aux_loss = 0;
  double router_z_loss = 0;
  double loss_weight = 0;                 ///< Sum of loss weights.
  std::vector<RouterStatistics> routers;  ///< Per MoE layer, in order.
};

/// Of the whole model, from those of its stages, in order.
Losses losses_of_stages(const ModelConfig& config, std::span<const Losses> stages);

/// Is told that the gradients of a layer (ParameterSpec::layer) are complete, but for micro-batches to come: the work
/// is in the device's queue.
using LayerDone = std::function<void(int layer)>;

/// Per-position results of an evaluation.
struct TokenScores {
  std::vector<float> cross_entropy;   ///< (B*T) nats, 0 where the loss weight is 0.
  std::vector<std::uint8_t> correct;  ///< (B*T) 1 where the label's logit is larger than all others.
};

/// Activation checkpointing. yes: only each layer's input is kept, and backward runs the layer's forward pass again:
/// the same bits, with the activations of one layer in memory, for about a third more time.
enum class Recompute : bool { no, yes };

/// Intermediate results of a forward pass, for checks. (rows, columns) row-major.
struct Trace {
  std::vector<double> logits;                      ///< (B*T, V)
  std::vector<std::vector<double>> router_logits;  ///< Per MoE layer (B*T, E)
  std::vector<std::vector<std::uint8_t>> kept;     ///< Per MoE layer (B*T, E)
  std::vector<RouterStatistics> routers;           ///< Per MoE layer
};

/// OpenMoE (arXiv 2402.01739) as coded, forward and backward; docs/model.md names the sources.
///   h = Embed[ids]
///   h += Attention(norm(h));  h += FFN(norm(h))                                  dense layer
///   h += Attention(norm(h));  h += MoE(norm(h));  h += SharedFFN(own norm(h))    MoE layer
///   logits = norm(h) W_head
/// Or some of its layers, a stage. One object, one calling thread. Computes in the device's precision; the same bits
/// for any number of OpenMP threads. All passes throw Stopped once a stop is requested (stop.h): gradients and scores
/// are then undefined. After the first batch of a shape, no pass of that shape allocates memory, except inside oneDNN.
class Transformer {
 public:
  /// `device` and `parameters`, whose memory is the device's, outlive the model. `parameters` may be those of the
  /// layers alone.
  Transformer(Device& device, const ModelConfig& config, const Parameters& parameters,
              Recompute recompute = Recompute::no);
  Transformer(Device& device, const ModelConfig& config, const Parameters& parameters, Recompute recompute,
              const LayerRange& layers);
  ~Transformer();

  /// Loss and gradients of one micro-batch; `gradient_scale` * gradient is added to every parameter's gradient.
  /// `scores`, if given, receives each position's loss. The result is valid until the next pass.
  /// REQUIRES, as all passes that take no input: all layers.
  const Losses& forward_backward(const TokenBatch& batch, double gradient_scale, TokenScores* scores = nullptr);
  /// The same in two halves, so that the device need not rest while the host looks at what it told. begin() gives it
  /// all of the work, and is done with `batch`; end() waits for the first that was begun and not ended, and fills its
  /// scores. At most two are begun and not ended: both may add to the same gradients. An exception ends them all.
  void begin(const TokenBatch& batch, double gradient_scale, TokenScores* scores = nullptr);
  const Losses& end();
  /// Loss per position, eval capacity, no gradients.
  TokenScores score(const TokenBatch& batch, Losses* losses = nullptr);
  /// The same stage by stage: the stream behind the last layer, valid until the next pass; of the last stage, scores.
  Tensor score_forward(const TokenBatch& batch, const Tensor& input);
  TokenScores score(const TokenBatch& batch, const Tensor& input, Losses* losses = nullptr);
  /// Logits and routing of a batch.
  Trace trace(const TokenBatch& batch, Mode mode);

  /// The two halves of forward_backward(), in which other micro-batches may come between them. forward() returns the
  /// residual stream behind the last layer, (N, H) real, in memory of `kept`. `input`: the stream before the first
  /// layer, as the stage before returned it; the first stage takes none. What `batch` points to stays until backward().
  Tensor forward(const TokenBatch& batch, const Tensor& input, Activations& kept);
  /// Returns the gradient of `input`, valid until the next pass; none where the embedding is. `d_output`: the gradient
  /// of what forward() returned; the last stage takes none, and makes the loss here. Uses `kept` up.
  Tensor backward(const Tensor& d_output, double gradient_scale, Activations& kept, TokenScores* scores = nullptr,
                  const LayerDone& done = {});
  /// Of the last backward().
  const Losses& losses() const;

  /// From now on adds each pass's seconds to `profile`, which must outlive the passes; null: stops timing.
  void measure(Profile* profile);
  /// From now on takes the factors of losses and the dropout rate from `config`: what may change while a model is
  /// trained. Not between forward() and backward().
  void follow(const ModelConfig& config);
  /// From now on adds gradients there.
  void add_gradients_at(const GradientPlace& place);
  /// From now on the parameters are those of some experts, and all passes are made together with those who have the
  /// others; null: all experts are here. `exchange` outlives the passes.
  void share_experts(ExpertExchange* exchange);
  /// From now on `observer` sees the routing of every forward pass; none: of none.
  void observe(RoutingObserver observer);

 private:
  friend class Activations;
  struct Impl;
  std::unique_ptr<Impl> impl_;
  Activations own_;
};

}  // namespace millrace
