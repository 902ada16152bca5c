#pragma once

#include <string>

#include "model/layers/linear.h"
#include "model/layers/rms_norm.h"
#include "model/layers/router.h"
#include "model/layers/scratch.h"
#include "model/layers/slot_exchange.h"
#include "model/pass/pass.h"

namespace millrace {

/// The experts behind their norm:   out[t] = h[t] + the sum over the kept experts e of the token of P[t, e]
/// FFN_e(x[t]), x = norm(h).   h, out: (N, H) Each expert works on consecutive rows ("slots"); a token that every
/// expert dropped is passed on as it is.
class Experts {
 public:
  /// What backward needs, but for h, and uses up.
  struct Saved {
    explicit Saved(Device& device)
        : x(device), inverse(device), full(device), slots(device), gated(device), y(device), routing(device) {}
    Buffer x, inverse;
    Buffer full;             ///< x in full precision, for the router; unused where x is.
    Buffer slots, gated, y;  ///< Of the experts: input, v | g | u, output. With an exchange only y.
    Routing routing;
    Met met;  ///< With an exchange.
  };

  /// `layer`: "model.layers.3."
  Experts(const ModelConfig& config, const Parameters& parameters, const std::string& layer);

  void forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const;
  /// Turns the gradient of out into that of h, in place; adds to the gradients of experts and router.
  void backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const;

  const Router& router() const { return router_; }

 private:
  /// What the experts here work on: the slots of one micro-batch.
  struct Work {
    Tensor slots, gated;
    SlotRows rows;
    const std::int32_t* count;   ///< How many are filled.
    const std::int32_t* pair;    ///< As Routing's; read with dropout only.
    const std::int32_t* expert;  ///< Likewise.
    DropoutMask mask;            ///< Inside the experts.
  };
  Work own_work(const Pass& pass, Saved& saved) const;
  Work work_of(const Pass& pass, const SlotExchange& exchange, std::size_t member, Saved& saved) const;
  SlotRows rows_of(const Pass& pass, const Routing& routing, const std::int32_t* first) const;
  void drop(const Pass& pass, const Work& work, const Tensor& x) const;

  void compute(const Pass& pass, const Work& work, Scratch& scratch, const Tensor& y) const;
  /// d_slots: (slots, H) real. Adds to the weights' gradients.
  void compute_backward(const Pass& pass, const Work& work, Scratch& scratch, const Tensor& dy,
                        const Tensor& d_slots) const;
  /// The same where all members' slots meet: the own ones go there and what is made of them comes back.
  void compute_shared(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& slots, const Tensor& y) const;
  void compute_shared_backward(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& dy,
                               const Tensor& d_slots) const;

  int layer_;
  Index experts_;       ///< Of the model.
  Index experts_here_;  ///< Fewer with an exchange.
  RmsNorm norm_;
  Router router_;
  Linear gate_up_;
  Linear down_;
};

}  // namespace millrace
