#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters/parameter_spec.h"
#include "trainer/optimizer/optimizer.h"

namespace millrace {

/// Adafactor (Shazeer and Stern, arXiv 1804.04235) as OpenMoE set it (T5X's adafactor.py; arXiv 2402.01739, table 12):
///   beta2 = 1 - (t + 1)^-0.8, t from 0; no momentum, no weight decay, no clipping across tensors
///   s     = g^2 + eps1
///   whole:     v = EMA of s                                             u = g / sqrt(v)
///   factored:  v_row = EMA of s's row means, v_col = EMA of its column means
///              u = g / (sqrt(v_row / mean(v_row)) sqrt(v_col))
///   u = u / max(1, RMS(u) / clipping_threshold)
///   value -= learning_rate max(RMS(value), eps2) u
/// Matrices whose smaller side is at least min_dim_size_to_factor are factored. An expert tensor (E, rows, columns) is
/// E matrices: each is factored whatever its size, and has RMS values of its own. Transposing a matrix changes nothing.
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

  /// Memory for one parameter: elements of state, and bytes of scratch memory, which all parameters share.
  struct Sizes {
    std::int64_t state = 0;
    std::int64_t scratch = 0;
  };
  static Sizes sizes_of(const ParameterSpec& spec, const Settings& settings);

  /// Holds the next means beside the current ones: small, since large matrices are factored.
  UpdateNorms update(Parameters<float>& parameters, double learning_rate) override;
  std::vector<StateTensor> state() override;

 private:
  /// Running means of the squared gradients.
  struct Means {
    std::vector<float> v;      ///< (tensors, columns); empty if factored.
    std::vector<float> v_row;  ///< (tensors, rows)
    std::vector<float> v_col;  ///< (tensors, columns)
  };

  /// How one parameter is treated, and its running means.
  struct Slot {
    std::string name;
    std::int64_t tensors = 1;  ///< Experts, or 1.
    std::int64_t rows = 1;     ///< Of each; a whole tensor has one row.
    std::int64_t columns = 0;
    bool factored = false;
    Means means;
    Means next;  ///< The means after the planned update.
  };

  /// One matrix's part of an update: all are planned before any is applied.
  struct Plan {
    double values = 0;     ///< Sum of squares of the values before the update.
    double change = 0;     ///< Sum of squares of what is subtracted.
    double row_mean = 0;   ///< Of v_row.
    float step = 0;        ///< Factor of u.
    bool certain = false;  ///< The sums alone show that no value becomes too large.
  };

  /// How a parameter is treated; allocates nothing.
  static Slot slot_of(const ParameterSpec& spec, const Settings& settings);

  /// One of a slot's matrices, with its part of the parameter.
  struct Part {
    Slot& slot;
    std::int64_t tensor;
    float* value;
    const float* grad;
  };

  template <class Work>
  void for_parts(Parameters<float>& parameters, const Work& work);
  Plan plan_factored(const Part& part, double learning_rate);
  Plan plan_whole(const Part& part, double learning_rate);
  /// Checks each value: true if all would be small enough.
  bool stays_finite(const Part& part, const Plan& plan);
  void apply_factored(const Part& part, const Plan& plan);
  void apply_whole(const Part& part, const Plan& plan);
  /// The factors of u = g row_factor column_factor, from the planned means, into scratch_.
  void find_factors(const Part& part, double row_mean);
  /// learning_rate max(RMS(value), eps2) / max(1, RMS(u) / clipping_threshold)
  double step_size(double learning_rate, double value_rms, double update_rms) const;
  double decay() const;

  /// Scratch memory for one matrix, reused for the next.
  struct Scratch {
    std::vector<double> column_sums;  ///< (chunks, columns)
    std::vector<double> update_sums;  ///< (chunks)
    std::vector<float> row_factor, column_factor;
    std::vector<std::uint8_t> too_large;  ///< (chunks)
  };

  Settings settings_;
  std::vector<Slot> slots_;
  std::vector<Plan> plans_;  ///< Of all parts, in their order.
  Scratch scratch_;
};

}  // namespace millrace
