#pragma once

#include <vector>

#include "model/device/buffer.h"
#include "model/device/device.h"
#include "model/kernels/adamw.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "model/optimizer/piece_table.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101; decay as PyTorch's AdamW: it is scaled by
/// the learning rate), t = updates done with this one:
///   g = gradient_factor gradient
///   m = beta1 m + (1 - beta1) g                      v = beta2 v + (1 - beta2) g^2
///   u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
///   value -= learning_rate (u + weight_decay value)
/// Vectors (the gains of the norms) have no weight decay. State of a parameter "p": p.m and p.v, of its shape.
class AdamW : public Optimizer {
 public:
  struct Settings {
    double beta1 = 0.9;  ///< As beta2: from 0 to below 1.
    double beta2 = 0.95;
    double eps = 1e-8;          ///< Above 0.
    double weight_decay = 0.1;  ///< 0 or more.
  };

  AdamW(Device& device, const Parameters& parameters, Settings settings);
  AdamW(Device& device, const Parameters& parameters, Settings settings, const OwnedParts& owned);

  void set(const Settings& settings) { settings_ = settings; }  ///< From the next update on.

  double gradient_norm() override;
  /// Checks every new value before it writes any, so that no second copy of the state is needed.
  UpdateNorms update(double learning_rate, double gradient_factor) override;
  std::vector<StateTensor> state() const override;

 private:
  /// One part, its running means, of its shape, and its pieces among those of all parameters.
  struct Slot {
    ParameterPart part;
    Tensor m, v;
    RowPieces pieces;
    PieceRange numbers;
  };
  AdamWStep step_of(const ParameterSpec& spec, double learning_rate, double gradient_factor) const;

  /// Columns of the table: sums of squares of values (or of gradients, or a count) and of their change.
  static constexpr Index kValues = 0;
  static constexpr Index kChange = 1;
  static constexpr Index kTableColumns = 2;

  Device& device_;
  const Parameters& parameters_;
  Settings settings_;
  PieceNumbers numbers_;
  Buffer state_;
  PieceTable table_;
  std::vector<Slot> slots_;
};

}  // namespace millrace
