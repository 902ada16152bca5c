#pragma once

#include <string>

#include "model/layers/linear.h"
#include "model/layers/rms_norm.h"
#include "model/layers/router.h"
#include "model/layers/scratch.h"
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
    Buffer slots, gated, y;  ///< Of the experts: input, v | g | u, output.
    Routing routing;
  };

  /// `layer`: "model.layers.3."
  Experts(const ModelConfig& config, const Parameters& parameters, const std::string& layer);

  void forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const;
  /// Turns the gradient of out into that of h, in place; adds to the gradients of experts and router.
  void backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const;

  const Router& router() const { return router_; }

 private:
  void drop_inside(const Pass& pass, const Routing& routing, const Tensor& x) const;
  SlotRows rows_of(const Pass& pass, const Routing& routing) const;

  int layer_;
  Index experts_;
  RmsNorm norm_;
  Router router_;
  Linear gate_up_;
  Linear down_;
};

}  // namespace millrace
