#pragma once

#include <cstdint>
#include <vector>

#include "model/device/buffer.h"
#include "model/device/device.h"
#include "model/kernels/adafactor.h"
#include "model/optimizer/adafactor_layout.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "model/optimizer/piece_table.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// Adafactor (Shazeer and Stern, arXiv 1804.04235) as OpenMoE set it (T5X's adafactor.py; arXiv 2402.01739, table 12):
///   beta2 = 1 - (t + 1)^-0.8, t from 0; no momentum, no weight decay, no clipping across tensors
///   g     = gradient_factor gradient     s = g^2 + eps1
///   whole:     v = EMA of s                                             u = g / sqrt(v)
///   factored:  v_row = EMA of s's row means, v_col = EMA of its column means
///              u = g / (sqrt(v_row / mean(v_row)) sqrt(v_col))
///   u = u / max(1, RMS(u) / clipping_threshold)
///   value -= learning_rate max(RMS(value), eps2) u
/// Matrices whose smaller side is at least min_dim_size_to_factor are factored. An expert tensor (E, rows, columns) is
/// E matrices: each is factored whatever its size, and has RMS values of its own. Transposing a matrix changes nothing.
/// State of a parameter "p":  p.v_row (E, rows), p.v_col (E, columns)  or  p.v (E, size of each), E = 1 but for
/// experts. Owners of one matrix tell each other the sums of its columns, piece by piece, and all have its v_col.
class Adafactor : public Optimizer {
 public:
  struct Settings {
    double decay_exponent = 0.8;
    double clipping_threshold = 1.0;
    double eps1 = 1e-30;  ///< Added to the squared gradient.
    double eps2 = 1e-3;   ///< Floor of the RMS of a parameter.
    std::int64_t min_dim_size_to_factor = 128;
  };

  Adafactor(Device& device, const Parameters& parameters);
  Adafactor(Device& device, const Parameters& parameters, Settings settings);
  Adafactor(Device& device, const Parameters& parameters, Settings settings, const OwnedParts& owned);

  /// Keeps the sums of squares of the gradient's rows and columns for update().
  double gradient_norm() override;
  UpdateNorms update(double learning_rate, double gradient_factor) override;
  std::vector<StateTensor> state() const override;

 private:
  void sum(const AdafactorSlot& slot);
  /// Fills in the other owners' rows of a table of a cut part's whole matrix.
  void complete(const AdafactorSlot& slot, const Tensor& sums);
  FactoredMeans means_of(const AdafactorSlot& slot, const MeansUpdate& update) const;
  Tensor value_of(const AdafactorSlot& slot) const { return part_of(parameter_of(slot).value, slot.part); }
  Tensor gradient_of(const AdafactorSlot& slot) const { return part_of(parameter_of(slot).gradient, slot.part); }
  Tensor image_of(const AdafactorSlot& slot) const { return part_of(parameter_of(slot).image, slot.part); }
  const Parameter& parameter_of(const AdafactorSlot& slot) const { return parameters_.all[slot.part.parameter]; }
  Tensor v_of(const AdafactorSlot& slot) const;
  /// Of cut matrices, for all of an update.
  void find_cut_sums(const MeansUpdate& update);
  void find_factors(const AdafactorSlot& slot, const FactoredMeans& means);
  void find_moments(const AdafactorSlot& slot, const MeansUpdate& update);
  /// From what find_moments() left: each matrix's step, and the norms.
  UpdateNorms find_steps(double learning_rate);
  /// Whether the sums alone show that no value of a matrix becomes too large.
  bool is_certain(const AdafactorParameter& parameter, PieceRange matrix, double values, double change,
                  double step) const;
  /// Throws NotFiniteUpdate if one of a parameter's would.
  void check(std::size_t parameter, const MeansUpdate& update);
  void check(const AdafactorSlot& slot, const MeansUpdate& update);
  void apply(const AdafactorSlot& slot, const MeansUpdate& update);
  /// learning_rate max(RMS(value), eps2) / max(1, RMS(u) / clipping_threshold), as it is computed with.
  double step_size(double learning_rate, double value_rms, double update_rms) const;
  double decay() const;
  Tensor table_of(const AdafactorSlot& slot) const { return table_.pieces(slot.numbers); }

  /// Columns of the table: sums of squares of values (or of gradients, or a count) and of u; bounds of factors.
  static constexpr Index kValues = 0;
  static constexpr Index kUpdate = 1;
  static constexpr Index kLargestRow = 2;
  static constexpr Index kLeastColumn = 3;
  static constexpr Index kTableColumns = 4;

  Device& device_;
  const Parameters& parameters_;
  Settings settings_;
  AdafactorLayout layout_;
  PartExchange* exchange_;
  Buffer state_, rms_, steps_;
  Buffer cut_sums_;  ///< In update(): sums of rows of whole matrices that are cut.
  /// What the parts use in turn: in gradient_norm() sums of columns; in update() sums of rows, then factors.
  Buffer turns_;
  PieceTable table_;
  std::vector<double> host_steps_;   ///< Of each matrix of all parameters.
  std::vector<std::uint8_t> doubt_;  ///< Of each parameter: not is_certain.
  std::vector<double> told_;         ///< What complete() tells of a matrix.
  bool summed_ = false;              ///< rms_ is that of the present gradients.
};

}  // namespace millrace
