#include "model/layers/linear.h"

namespace millrace {
namespace {

using Side = Product::Side;

/// Whether `next`, stored [out, in], continues `last` in memory.
bool follows(const Tensor& last, const Tensor& next) {
  return last.batch == 1 && last.row_range(last.rows, 0).data == next.data && last.columns == next.columns;
}

/// The same rows, an expert's apart from the others'.
Tensor by_expert(Tensor all, Index rows) {
  all.batch = all.rows / rows;
  all.batch_stride = rows * all.stride;
  all.rows = rows;
  return all;
}

/// A product of each expert's own rows. Of `a`, and of the one that is cut besides, all experts' rows are given.
Product over_slots(Product product, Product::Ragged ragged, const SlotRows& slots) {
  if (slots.first == nullptr) {
    product.a = by_expert(product.a, slots.most);
    Tensor& other = ragged == Product::Ragged::rows ? product.c : product.b;
    other = by_expert(other, slots.most);
    return product;
  }
  product.ragged = ragged;
  product.first = slots.first;
  product.most_rows = slots.most;
  return product;
}

}  // namespace

Linear::Linear(const std::vector<const Parameter*>& parameters, Layout layout) : layout_(layout) {
  for (const Parameter* parameter : parameters) {
    const Tensor factor = parameter->factor();
    inputs_ = layout == Layout::out_in ? factor.columns : factor.rows;
    const bool is_joined = layout == Layout::out_in && !parts_.empty() && follows(parts_.back().factor, factor) &&
                           (!parameter->gradient || follows(parts_.back().gradient, parameter->gradient));
    if (is_joined) {
      parts_.back().factor.rows += factor.rows;
      parts_.back().gradient.rows += parameter->gradient.rows;
    } else {
      parts_.push_back({factor, parameter->gradient, outputs_});
    }
    outputs_ += outputs_of(factor);
  }
}

void Linear::forward(Device& device, const Tensor& x, const Tensor& y, const Tensor& added) const {
  for (const Part& part : parts_) {
    const Tensor to = y.column_range(part.output, outputs_of(part.factor));
    device.multiply({.a = x,
                     .b = part.factor,
                     .c = to,
                     .b_side = layout_ == Layout::out_in ? Side::transposed : Side::plain,
                     .add = bool(added),
                     .added = added ? added.column_range(part.output, 0).data : nullptr});
  }
}

void Linear::backward_weights(const Pass& pass, const Tensor& dy, const Tensor& x) const {
  for (const Part& part : parts_) {
    const Tensor of_part = dy.column_range(part.output, outputs_of(part.factor));
    backward_weights(pass.device, of_part, x, pass.gradients.of(part.gradient, false), true);
  }
}

void Linear::backward_weights(Device& device, const Tensor& dy, const Tensor& x, const Tensor& gradients,
                              bool add) const {
  const bool is_out_in = layout_ == Layout::out_in;
  device.multiply(
      {.a = is_out_in ? dy : x, .b = is_out_in ? x : dy, .c = gradients, .a_side = Side::transposed, .add = add});
}

void Linear::backward_input(Device& device, const Tensor& dy, const Tensor& dx) const {
  for (const Part& part : parts_) {
    device.multiply({.a = dy.column_range(part.output, outputs_of(part.factor)),
                     .b = part.factor,
                     .c = dx,
                     .b_side = layout_ == Layout::out_in ? Side::plain : Side::transposed,
                     .add = &part != &parts_.front()});
  }
}

void Linear::forward(Device& device, const Tensor& x, const Tensor& y, const SlotRows& slots) const {
  for (const Part& part : parts_) {
    const Tensor to = y.column_range(part.output, outputs_of(part.factor));
    device.multiply(over_slots({.a = x, .b = part.factor, .c = to}, Product::Ragged::rows, slots));
  }
}

void Linear::backward_weights(const Pass& pass, const Tensor& dy, const Tensor& x, const SlotRows& slots) const {
  for (const Part& part : parts_) {
    const Tensor of_part = dy.column_range(part.output, outputs_of(part.factor));
    const Tensor gradient = pass.gradients.of(part.gradient, true);
    pass.device.multiply(over_slots({.a = x, .b = of_part, .c = gradient, .a_side = Side::transposed, .add = true},
                                    Product::Ragged::inner, slots));
  }
}

void Linear::backward_input(Device& device, const Tensor& dy, const Tensor& dx, const SlotRows& slots) const {
  for (const Part& part : parts_) {
    const Tensor of_part = dy.column_range(part.output, outputs_of(part.factor));
    device.multiply(over_slots(
        {.a = of_part, .b = part.factor, .c = dx, .b_side = Side::transposed, .add = &part != &parts_.front()},
        Product::Ragged::rows, slots));
  }
}

}  // namespace millrace
