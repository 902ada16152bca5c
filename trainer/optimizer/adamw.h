#pragma once

#include <string>
#include <vector>

#include "trainer/optimizer/optimizer.h"

namespace millrace {

/// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101; decay as PyTorch's AdamW: it is scaled by
/// the learning rate), t = updates done with this one:
///   m = beta1 m + (1 - beta1) g                      v = beta2 v + (1 - beta2) g^2
///   u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
///   value -= learning_rate (u + weight_decay value)
/// Vectors (the gains of the norms) have no weight decay.
class AdamW : public Optimizer {
 public:
  struct Settings {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double eps = 1e-8;
    double weight_decay = 0.1;
  };

  /// Throws ConfigError if a setting is out of range.
  AdamW(const Parameters<float>& parameters, Settings settings);

  /// Checks every new value before it writes any, so that no second copy of the state is needed.
  UpdateNorms update(Parameters<float>& parameters, double learning_rate) override;
  std::vector<StateTensor> state() override;

 private:
  /// One parameter's running means, of its shape.
  struct Slot {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> m;
    std::vector<float> v;
  };

  Settings settings_;
  std::vector<Slot> slots_;
};

}  // namespace millrace
