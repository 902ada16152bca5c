#include "model/layers/head.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "model/array.h"
#include "model/ops/gemm.h"
#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kRows = 8;
constexpr Index kChunkElements = Index{1} << 26;  ///< Of logits held at once: 256 MB of float.
constexpr Index kLargestChunk = 1024;
constexpr Index kChunkMultiple = 64;  ///< With a bf16 head.

Index chunk_rows_of(Index vocabulary, Precision precision) {
  const Index rows = std::clamp<Index>(kChunkElements / vocabulary, 64, kLargestChunk);
  return precision == Precision::bf16 ? rows / kChunkMultiple * kChunkMultiple : rows;
}

Index rounded_up(Index count, Index multiple) {
  return range_count(count, multiple) * multiple;
}

/// Whether the label's logit is larger than all others: a tie does not count.
template <class Logits, class Scalar>
bool is_sole_largest(const Logits& logits, Scalar label, Scalar largest) {
  return label == largest && (logits == largest).count() == 1;
}

}  // namespace

LossChunk loss_chunk(Index vocabulary, Index positions, Precision precision) {
  const Index rows = chunk_rows_of(vocabulary, precision);
  const Index multiple = precision == Precision::bf16 ? kChunkMultiple : 1;
  return {std::min(rows, rounded_up(positions, multiple)), std::min(rows, rounded_up(positions, kChunkMultiple))};
}

template <class Scalar>
Index CrossEntropy<Scalar>::chunk_rows() const {
  return chunk_rows_of(head_->spec.shape[0], head_->precision());
}

/// Lists the positions that carry loss; the sum of their weights.
template <class Scalar>
double CrossEntropy<Scalar>::gather(const Targets& targets, Index positions) {
  chosen_.clear();
  for (auto* values : {&ce_, &lse_}) values->reserve(static_cast<std::size_t>(positions));
  chosen_.reserve(static_cast<std::size_t>(positions));
  correct_.reserve(static_cast<std::size_t>(positions));
  double weight = 0;
  for (Index t = 0; t < positions; ++t) {
    if (targets.weights[t] == 0) continue;
    if (targets.labels[t] < 0 || targets.labels[t] >= head_->spec.shape[0]) {
      throw std::out_of_range("label " + std::to_string(targets.labels[t]) + " at position " + std::to_string(t) +
                              " of the micro-batch; the head has " + std::to_string(head_->spec.shape[0]) + " rows");
    }
    chosen_.push_back(t);
    weight += static_cast<double>(targets.weights[t]);
  }
  ce_.resize(chosen_.size());
  lse_.resize(chosen_.size());
  correct_.resize(chosen_.size());
  return weight;
}

/// The means; also writes per-position results, 0 where the weight is 0.
template <class Scalar>
typename CrossEntropy<Scalar>::Sums CrossEntropy<Scalar>::summed(const Targets& targets, double weight, Index positions,
                                                                 const PerPosition& results) const {
  Sums sums{0, 0, weight};
  if (results.cross_entropy != nullptr) std::fill_n(results.cross_entropy, positions, 0.0F);
  if (results.correct != nullptr) std::fill_n(results.correct, positions, std::uint8_t{0});
  for (std::size_t entry = 0; entry < chosen_.size(); ++entry) {
    const Index position = chosen_[entry];
    const double share = static_cast<double>(targets.weights[position]) / weight;
    sums.ce += share * ce_[entry];
    sums.square += share * lse_[entry] * lse_[entry];
    if (results.cross_entropy != nullptr) results.cross_entropy[position] = static_cast<float>(ce_[entry]);
    if (results.correct != nullptr) results.correct[position] = correct_[entry];
  }
  return sums;
}

template <class Scalar>
Factor<Scalar> CrossEntropy<Scalar>::load_chunk(View<const Scalar> a, Index first, Index count) {
  const Index multiple = head_->precision() == Precision::bf16 ? kChunkMultiple : 1;
  const Index rows = rounded_up(count, multiple);
  const Index most = chunk(a.rows).forward;
  inputs_.reserve(most * a.columns);
  inputs_image_.reserve(most, a.columns, head_->precision());
  logits_.reserve(most * head_->spec.shape[0]);
  inputs_.reshape(rows, a.columns);
  logits_.reshape(rows, head_->spec.shape[0]);
  std::fill_n(inputs_.row(count), (rows - count) * a.columns, Scalar{0});
  for_ranges(count, 64, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      std::copy_n(a.row(chosen_[static_cast<std::size_t>(first + i)]), a.columns, inputs_.row(i));
    }
  });
  const Factor<Scalar> inputs = inputs_image_.of(inputs_.view(), head_->precision());
  matmul_nt(inputs, factor_of(*head_), logits_.view());
  return inputs;
}

template <class Scalar>
typename CrossEntropy<Scalar>::Sums CrossEntropy<Scalar>::forward(View<const Scalar> a, const Targets& targets,
                                                                  const PerPosition& results) {
  const double weight_sum = gather(targets, a.rows);
  const Index chosen = static_cast<Index>(chosen_.size());
  const Index vocabulary = head_->spec.shape[0];
  for (Index first = 0; first < chosen; first += chunk_rows()) {
    const Index count = std::min(chunk_rows(), chosen - first);
    load_chunk(a, first, count);
    for_ranges(count, kRows, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const auto entry = static_cast<std::size_t>(first + i);
        const Index position = chosen_[entry];
        const auto row = array_of(static_cast<const Scalar*>(logits_.row(i)), vocabulary);
        const Scalar largest = row.maxCoeff();
        const Scalar label = row[targets.labels[position]];
        const Scalar lse = largest + std::log((row - largest).exp().sum());
        ce_[entry] = static_cast<double>(lse - label);
        lse_[entry] = static_cast<double>(lse);
        correct_[entry] = is_sole_largest(row, label, largest) && std::isfinite(lse);
      }
    });
  }
  return summed(targets, weight_sum, a.rows, results);
}

template <class Scalar>
typename CrossEntropy<Scalar>::Sums CrossEntropy<Scalar>::forward_backward(View<const Scalar> a, const Targets& targets,
                                                                           const PerPosition& results, double scale,
                                                                           View<Scalar> da) {
  const double weight_sum = gather(targets, a.rows);
  const Index chosen = static_cast<Index>(chosen_.size());
  const Index vocabulary = head_->spec.shape[0];
  for_ranges(da.rows, 64, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) array_of(da.row(t), da.columns).setZero();
  });
  for (Index first = 0; first < chosen; first += chunk_rows()) {
    const Index count = std::min(chunk_rows(), chosen - first);
    const Factor<Scalar> inputs = load_chunk(a, first, count);
    for_ranges(count, kRows, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        const auto entry = static_cast<std::size_t>(first + i);
        const Index position = chosen_[entry];
        const std::int32_t label = targets.labels[position];
        auto row = array_of(logits_.row(i), vocabulary);
        const Scalar largest = row.maxCoeff();
        const Scalar label_logit = row[label];
        const bool predicted = is_sole_largest(row, label_logit, largest);
        row = (row - largest).exp();
        const Scalar sum = row.sum();
        const Scalar lse = largest + std::log(sum);
        ce_[entry] = static_cast<double>(lse - label_logit);
        lse_[entry] = static_cast<double>(lse);
        correct_[entry] = predicted && std::isfinite(lse);
        // (1 + 2 z lse) softmax - one-hot, times this position's share of the loss.
        const double share = scale * static_cast<double>(targets.weights[position]) / weight_sum;
        row *= static_cast<Scalar>(share * (1 + 2 * z_ * static_cast<double>(lse)) / static_cast<double>(sum));
        row[label] -= static_cast<Scalar>(share);
      }
    });
    std::fill_n(logits_.row(count), (logits_.rows() - count) * vocabulary, Scalar{0});
    const Index most = chunk(a.rows).backward;
    d_inputs_.reserve(most * a.columns);
    logits_image_.reserve(most, vocabulary, head_->precision());
    d_inputs_.reshape(logits_.rows(), a.columns);
    const Factor<Scalar> gradient = logits_image_.of(logits_.view(), head_->precision());
    matmul_tn(gradient, inputs, weight(head_->grad), Into::add);
    matmul_nn(gradient, factor_of(*head_), d_inputs_.view());
    for_ranges(count, 64, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        std::copy_n(d_inputs_.row(i), a.columns, da.row(chosen_[static_cast<std::size_t>(first + i)]));
      }
    });
  }
  return summed(targets, weight_sum, a.rows, results);
}

template <class Scalar>
void CrossEntropy<Scalar>::logits(View<const Scalar> a, View<Scalar> out) const {
  matmul_nt(a, factor_of(*head_), out);
}

template class CrossEntropy<float>;
template class CrossEntropy<double>;

}  // namespace millrace
