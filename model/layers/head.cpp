#include "model/layers/head.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "model/device/read_numbers.h"
#include "model/kernels/loss_row.h"
#include "model/kernels/rows.h"
#include "model/parallel.h"

namespace millrace {
namespace {

constexpr Index kChunkMultiple = 64;  ///< With a bf16 head: few different shapes.

Index chunk_multiple(Precision precision) {
  return precision == Precision::bf16 ? kChunkMultiple : 1;
}

Index rounded_up(Index count, Index multiple) {
  return range_count(count, multiple) * multiple;
}

template <class Value>
const Value* upload(Device& device, const std::vector<Value>& values, Buffer& there) {
  there.reserve(values.capacity() * sizeof(Value));
  const Tensor tensor = there.shaped(1, static_cast<Index>(values.size()), sizeof(Value) == 4 ? Type::i32 : Type::f64);
  device.to_device(tensor.data, values.data(), values.size() * sizeof(Value));
  return static_cast<const Value*>(tensor.data);
}

}  // namespace

Index loss_chunk(Index vocabulary, Index positions, const Device& device) {
  const Index multiple = chunk_multiple(device.precision());
  const Index rows = std::clamp<Index>(device.loss_chunk().logits / vocabulary, 64, device.loss_chunk().rows);
  return std::min(rounded_up(rows - multiple + 1, multiple), rounded_up(std::max<Index>(positions, 1), multiple));
}

Head::Head(Device& device, const Parameter& weight, double z_loss_factor)
    : vocabulary_(weight.value.rows),
      weight_(&weight),
      z_(z_loss_factor),
      linear_({&weight}, Linear::Layout::out_in),
      chosen_there_(device),
      labels_there_(device),
      shares_there_(device),
      ce_there_(device),
      lse_there_(device),
      correct_there_(device),
      inputs_(device),
      d_inputs_(device),
      logits_(device),
      gradient_(device),
      chunks_(device) {}

/// Lists the positions that carry loss.
void Head::gather(const Targets& targets, Index positions, double scale, Device& device, Told& told) {
  const Index multiple = chunk_multiple(device.precision());
  const auto most = static_cast<std::size_t>(rounded_up(positions, multiple));
  for (auto* list : {&told.chosen_, &labels_}) {
    list->clear();
    list->reserve(most);
  }
  for (auto* list : {&told.shares_, &scaled_}) {
    list->clear();
    list->reserve(most);
  }
  told.positions_ = positions;
  told.weight_sum_ = 0;
  for (Index t = 0; t < positions; ++t) {
    if (targets.weights[t] == 0) continue;
    if (targets.labels[t] < 0 || targets.labels[t] >= vocabulary_) {
      throw std::out_of_range("label " + std::to_string(targets.labels[t]) + " at position " + std::to_string(t) +
                              " of the micro-batch; the head has " + std::to_string(vocabulary_) + " rows");
    }
    told.chosen_.push_back(static_cast<std::int32_t>(t));
    labels_.push_back(targets.labels[t]);
    told.weight_sum_ += static_cast<double>(targets.weights[t]);
  }
  told.count_ = told.chosen_.size();
  const double divisor = targets.divisor > 0 ? targets.divisor : told.weight_sum_;
  for (const std::int32_t t : told.chosen_) {
    told.shares_.push_back(static_cast<double>(targets.weights[t]) / divisor);
    scaled_.push_back(scale * static_cast<double>(targets.weights[t]) / divisor);
  }
  const auto whole = static_cast<std::size_t>(rounded_up(static_cast<Index>(told.count_), multiple));
  told.chosen_.resize(whole, -1);
  labels_.resize(whole, -1);
  scaled_.resize(whole, 0);
}

/// Also writes per-position results, 0 where the weight is 0.
Head::Sums Head::Told::sums() {
  end_reading(type_, ce_);
  end_reading(type_, lse_);
  Sums sums{0, 0, weight_sum_};
  if (results_.cross_entropy != nullptr) std::fill_n(results_.cross_entropy, positions_, 0.0F);
  if (results_.correct != nullptr) std::fill_n(results_.correct, positions_, std::uint8_t{0});
  for (std::size_t entry = 0; entry < count_; ++entry) {
    const Index position = chosen_[entry];
    sums.ce += shares_[entry] * ce_[entry];
    sums.square += shares_[entry] * lse_[entry] * lse_[entry];
    if (results_.cross_entropy != nullptr) results_.cross_entropy[position] = static_cast<float>(ce_[entry]);
    if (results_.correct != nullptr) results_.correct[position] = correct_[entry];
  }
  return sums;
}

void Head::add_chunk(const Pass& pass, const Tensor& gradient, const Tensor& inputs, bool is_first, bool is_last) {
  const Tensor all = pass.gradients.of(weight_->gradient, false);
  if (is_first && is_last) return linear_.backward_weights(pass.device, gradient, inputs, all, true);
  const Tensor sum = chunks_.shaped(all.rows, all.columns, all.type);
  linear_.backward_weights(pass.device, gradient, inputs, sum, !is_first);
  if (is_last) pass.device.run(AddRows{sum, all}, all.rows);
}

void Head::run(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results, double scale,
               const Tensor* da, Told& told) {
  Device& device = pass.device;
  gather(targets, a.rows, scale, device, told);
  const std::int32_t* chosen = upload(device, told.chosen_, chosen_there_);
  const std::int32_t* labels = upload(device, labels_, labels_there_);
  const double* shares = upload(device, scaled_, shares_there_);
  const auto rows = static_cast<Index>(told.chosen_.size());
  const Index most = loss_chunk(vocabulary_, a.rows, device);
  const auto room = static_cast<std::size_t>(rounded_up(a.rows, chunk_multiple(device.precision())));
  for (Buffer* buffer : {&ce_there_, &lse_there_}) buffer->reserve(room * bytes_of(device.real()));
  const Tensor ce = ce_there_.shaped(1, rows, device.real());
  const Tensor lse = lse_there_.shaped(1, rows, device.real());
  correct_there_.reserve(room);
  auto* correct = static_cast<std::uint8_t*>(correct_there_.shaped(1, rows, Type::u8).data);
  const auto shaped = [&](Buffer& buffer, Index count, Index columns, Type type) {
    buffer.reserve(static_cast<std::size_t>(most * columns) * bytes_of(type));
    return buffer.shaped(count, columns, type);
  };
  for (Index first = 0; first < rows; first += most) {
    const Index count = std::min(most, rows - first);
    const Tensor inputs = shaped(inputs_, count, a.columns, device.low());
    device.run(GatherRows{a, chosen + first, inputs}, count);
    const Tensor logits = shaped(logits_, count, vocabulary_, device.real());
    linear_.forward(device, inputs, logits);
    Tensor gradient;
    if (da != nullptr)
      gradient = device.low() == device.real() ? logits : shaped(gradient_, count, vocabulary_, device.low());
    device.run(LossRow{logits, gradient, labels + first, shares + first, z_, ce.column_range(first, count).data,
                       lse.column_range(first, count).data, correct + first},
               count);
    if (da == nullptr) continue;
    add_chunk(pass, gradient, inputs, first == 0, first + most >= rows);
    const Tensor d_inputs = shaped(d_inputs_, count, a.columns, device.real());
    linear_.backward_input(device, gradient, d_inputs);
    device.run(ScatterRows{d_inputs, chosen + first, *da}, count);
  }
  told.results_ = results;
  told.type_ = device.real();
  for (auto* values : {&told.ce_, &told.lse_}) {
    values->reserve(room);
    values->resize(told.chosen_.size());
  }
  told.correct_.reserve(room);
  told.correct_.resize(told.count_);
  begin_reading(device, ce, told.ce_);
  begin_reading(device, lse, told.lse_);
  device.to_host_later(told.correct_.data(), correct, told.count_);
}

void Head::forward(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results, Told& told) {
  run(pass, a, targets, results, 1, nullptr, told);
}

void Head::forward_backward(const Pass& pass, const Tensor& a, const Targets& targets, const PerPosition& results,
                            double scale, const Tensor& da, Told& told) {
  pass.device.clear(da.data, static_cast<std::size_t>(da.size()) * bytes_of(da.type));
  run(pass, a, targets, results, scale, &da, told);
}

}  // namespace millrace
