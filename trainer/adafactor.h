#pragma once

#include <cstdint>
#include <vector>

#include "trainer/optimizer.h"

namespace millrace {

/// Adafactor (Shazeer and Stern, arXiv 1804.04235) as OpenMoE set it (openmoe-facts 5, T5X's adafactor):
///   beta2 = 1 - (t + 1)^-0.8, t from 0; no momentum, no weight decay, no clipping across tensors
///   s     = g^2 + eps1
///   whole:     v = EMA of s                                             u = g / sqrt(v)
///   factored:  v_row = EMA of s's row means, v_col = EMA of its column means
///              u = g / (sqrt(v_row / mean(v_row)) sqrt(v_col))
///   u = u / max(1, RMS(u) / clipping_threshold)
///   value -= learning_rate max(RMS(value), eps2) u
/// Matrices whose smaller side is at least min_dim_size_to_factor are factored. An expert tensor (E, rows, columns) is
/// E matrices: each is factored whatever its size, and has its own RMS's. Transposing a matrix changes nothing.
class Adafactor : public Optimizer {
 public:
  struct Settings {
    double decay_exponent = 0.8;
    double clipping_threshold = 1.0;
    double eps1 = 1e-30;  ///< Added to the squared gradient.
    double eps2 = 1e-3;   ///< Floor of the RMS of a parameter.
    std::int64_t min_dim_size_to_factor = 128;
  };

  explicit Adafactor(const Parameters<float>& parameters);
  Adafactor(const Parameters<float>& parameters, Settings settings);

  /// What one parameter costs: elements of state, and bytes of scratch memory, which all parameters share.
  struct Sizes {
    std::int64_t state = 0;
    std::int64_t scratch = 0;
  };
  static Sizes sizes_of(const ParameterSpec& spec, const Settings& settings);

  UpdateNorms update(Parameters<float>& parameters, double learning_rate) override;
  std::vector<StateTensor> state() override;

 private:
  /// How one parameter is treated, and its running means.
  struct Slot {
    std::string name;
    std::int64_t tensors = 1;  ///< Experts, or 1.
    std::int64_t rows = 1;     ///< Of each; a whole tensor has one row.
    std::int64_t columns = 0;
    bool factored = false;
    std::vector<float> v;      ///< (tensors, columns); empty if factored.
    std::vector<float> v_row;  ///< (tensors, rows)
    std::vector<float> v_col;  ///< (tensors, columns)
  };

  /// Sums of squares over one matrix: of its values before the update, and of the change.
  struct Squares {
    double values = 0;
    double change = 0;
  };

  /// How a parameter is treated; without memory.
  static Slot slot_of(const ParameterSpec& spec, const Settings& settings);

  Squares update_factored(Slot& slot, std::int64_t tensor, float* value, const float* grad, double learning_rate);
  Squares update_whole(Slot& slot, std::int64_t tensor, float* value, const float* grad, double learning_rate);
  /// learning_rate max(RMS(value), eps2) / max(1, RMS(u) / clipping_threshold)
  double step_size(double learning_rate, double value_rms, double update_rms) const;
  double decay() const;

  /// Memory of one factored update, kept from one to the next.
  struct Scratch {
    std::vector<double> column_sums;  ///< (chunks, columns)
    std::vector<double> update_sums;  ///< (chunks)
    std::vector<float> row_factor, column_factor;
  };

  Settings settings_;
  std::vector<Slot> slots_;
  Scratch scratch_;
};

}  // namespace millrace
