#pragma once

#include <cstdint>
#include <vector>

#include "model/device/device.h"
#include "model/parameters/parameter.h"
#include "model/pass/pass.h"

namespace millrace {

/// Rows of all experts together: expert e has first[e] .. first[e + 1] - 1; without `first` each has `most`.
struct SlotRows {
  const std::int32_t* first = nullptr;  ///< (E + 1), in the device's memory.
  Index most = 0;                       ///< No expert has more.
};

/// One or several linear maps of the same input, their outputs side by side; or one such map an expert, each for its
/// own rows. What products read of weights is held here alone.   x: (N, inputs)   y: (N, outputs)
class Linear {
 public:
  /// Released checkpoints store expert tensors [in, out] and all others [out, in].
  enum class Layout : bool { out_in, in_out };

  /// The parameters outlive this. Neighbours in memory become one product.
  Linear(const std::vector<const Parameter*>& parameters, Layout layout);

  Index inputs() const { return inputs_; }
  Index outputs() const { return outputs_; }

  /// y = x W, or y = added + x W: `added` is laid out as y.
  void forward(Device& device, const Tensor& x, const Tensor& y, const Tensor& added = {}) const;
  /// The weights' gradients += x^T dy.
  void backward_weights(const Pass& pass, const Tensor& dy, const Tensor& x) const;
  /// `gradients`, of one map's shape, = x^T dy, or += it.
  void backward_weights(Device& device, const Tensor& dy, const Tensor& x, const Tensor& gradients, bool add) const;
  /// dx = dy W^T. dx is of the real type where there are several maps.
  void backward_input(Device& device, const Tensor& dy, const Tensor& dx) const;

  /// The same for experts.
  void forward(Device& device, const Tensor& x, const Tensor& y, const SlotRows& slots) const;
  void backward_weights(const Pass& pass, const Tensor& dy, const Tensor& x, const SlotRows& slots) const;
  void backward_input(Device& device, const Tensor& dy, const Tensor& dx, const SlotRows& slots) const;

 private:
  struct Part {
    Tensor factor;    ///< As stored.
    Tensor gradient;  ///< Likewise.
    Index output;     ///< The first of its outputs.
  };
  Index outputs_of(const Tensor& stored) const { return layout_ == Layout::out_in ? stored.rows : stored.columns; }

  std::vector<Part> parts_;
  Layout layout_;
  Index inputs_ = 0;
  Index outputs_ = 0;
};

}  // namespace millrace
